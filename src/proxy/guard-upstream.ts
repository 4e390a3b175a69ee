import { InterlinkError, isKind } from '../base/errors.ts';
import type { Sidecar } from '../contract/sidecar.ts';

/**
 * The sidecar with its refusals of the proxy turned into Unavailable: to a node, 401 or 403 would mean that the node's own token is bad, and it would give its
 * pods up.
 */
export function guardUpstream(name: string, sidecar: Sidecar): Sidecar {
  const guard = async <T>(call: () => Promise<T>): Promise<T> => {
    try {
      return await call();
    } catch (error) {
      throw translate(name, error);
    }
  };
  return {
    capabilities: (options) => guard(() => sidecar.capabilities(options)),
    create: (bundle, options) => guard(() => sidecar.create(bundle, options)),
    delete: (pod, options) => guard(() => sidecar.delete(pod, options)),
    status: (pods, options) => guard(() => sidecar.status(pods, options)),
    logs: (request, options) => guard(() => sidecar.logs(request, options)),
    ping: (options) => guard(() => sidecar.ping(options)),
    async *watch(options) {
      try {
        yield* sidecar.watch(options);
      } catch (error) {
        throw translate(name, error);
      }
    },
    [Symbol.asyncDispose]: () => sidecar[Symbol.asyncDispose](),
  };
}

function translate(name: string, error: unknown): unknown {
  if (!isKind(error, 'Unauthenticated', 'Forbidden')) return error;
  return new InterlinkError('Unavailable', `sidecar ${name} refuses the proxy: ${error.message}`, {
    code: 'proxy.upstream.access',
    cause: error,
  });
}
