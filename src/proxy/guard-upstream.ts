import { codeOf, InterlinkError, isKind, messageOf } from '../base/errors.ts';
import type { Logger } from '../base/logger.ts';
import type { Sidecar } from '../contract/sidecar.ts';

/** A sidecar of the site as its configuration names it. */
export interface GuardedUpstream {
  readonly name: string;
  /** Its address as error messages begin with it. */
  readonly where: string;
  readonly sidecar: Sidecar;
}

/**
 * The sidecar with errors that a node may see. Its refusals of the proxy become Unavailable: to a node, 401 or 403 would mean that the node's own token is
 * bad. A sidecar that cannot be reached is called by its name instead of its address, and is logged when that begins and when it ends.
 */
export function guardUpstream({ name, where, sidecar }: GuardedUpstream, logger: Logger): Sidecar {
  let reachable = true;

  const judge = (error: unknown): unknown => {
    if (isKind(error, 'Unauthenticated', 'Forbidden'))
      return new InterlinkError('Unavailable', `sidecar ${name} refuses the proxy: ${error.message}`, {
        code: 'proxy.upstream.access',
        cause: error,
      });
    if (!isKind(error, 'Unavailable', 'DeadlineExceeded') || !codeOf(error).startsWith('http.client.')) return error;
    if (reachable) logger.warn('sidecar cannot be reached', { sidecar: name, err: error });
    reachable = false;
    const message = messageOf(error).replace(`${where}: `, '');
    return new InterlinkError(error.kind, `sidecar ${name}: ${message}`, { code: error.code, cause: error });
  };

  const answered = (): void => {
    if (!reachable) logger.info('sidecar is back', { sidecar: name });
    reachable = true;
  };

  const guard = async <T>(call: () => Promise<T>): Promise<T> => {
    try {
      const result = await call();
      answered();
      return result;
    } catch (error) {
      throw judge(error);
    }
  };

  return {
    capabilities: (options) => guard(() => sidecar.capabilities(options)),
    create: (bundle, options) => guard(() => sidecar.create(bundle, options)),
    delete: (pod, options) => guard(() => sidecar.delete(pod, options)),
    status: (pods, options) => guard(() => sidecar.status(pods, options)),
    logs: (request, options) => guard(() => sidecar.logs(request, options)),
    updateVolumes: (update, options) => guard(() => sidecar.updateVolumes(update, options)),
    ping: (options) => guard(() => sidecar.ping(options)),
    async *watch(options) {
      try {
        for await (const event of sidecar.watch(options)) {
          answered();
          yield event;
        }
      } catch (error) {
        throw judge(error);
      }
    },
    [Symbol.asyncDispose]: () => sidecar[Symbol.asyncDispose](),
  };
}
