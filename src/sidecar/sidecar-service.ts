import { join } from 'node:path';
import { InterlinkError } from '../base/errors.ts';
import type { Service } from '../base/service.ts';
import { serveSidecar } from '../contract/serve-sidecar.ts';
import { isLocalAddress, parseAddress } from '../http/address.ts';
import { createHttpServer } from '../http/http-server.ts';
import { type OpenSidecarDeps, openSidecar } from './open-sidecar.ts';

/**
 * A back end served over HTTP, by default on a 0600 unix socket in its state directory. It asks nobody who they are: that is the proxy's work, so any
 * other address must be asked for twice. Stopping it stops no pod.
 *
 * @throws (from `run`) Invalid, Conflict or Unavailable when it cannot start
 */
export function createSidecarService(deps: OpenSidecarDeps): Service {
  const { config, kind, clock, logger } = deps;
  const ready = Promise.withResolvers<void>();
  // Whoever waits for it sees the failure; `run` throws it in any case.
  ready.promise.catch(() => {});
  const run = async (signal: AbortSignal): Promise<void> => {
    const wanted = config.listen === undefined ? undefined : parseAddress(config.listen);
    if (wanted && wanted.kind !== 'unix' && !(config.insecureListen && !wanted.tls))
      throw new InterlinkError(
        'Invalid',
        `sidecar.listen: ${config.listen} would take calls from anybody${isLocalAddress(wanted) ? ' on this machine' : ''}; use unix:/path, or set sidecar.insecureListen`,
        { code: 'sidecar.listen' },
      );
    await using sidecar = await openSidecar(deps);
    const { engine, stateDirectory } = sidecar;
    const stop = new AbortController();
    const server = createHttpServer(
      {
        name: `sidecar-${kind}`,
        address: wanted ?? parseAddress(`unix:${join(stateDirectory, 'sidecar.sock')}`),
        handler: serveSidecar(engine, { logger }),
      },
      { clock, logger },
    );
    const serving = server.run(AbortSignal.any([signal, stop.signal]));
    try {
      await Promise.race([server.ready, serving]);
      ready.resolve();
      await Promise.race([serving, engine.failed]);
    } finally {
      stop.abort();
      await serving.catch(() => {});
    }
  };
  return {
    name: `sidecar-${kind}`,
    ready: ready.promise,
    async run(signal) {
      try {
        await run(signal);
      } catch (error) {
        ready.reject(error);
        throw error;
      }
    },
  };
}
