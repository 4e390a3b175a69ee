import { connect } from 'node:net';
import type { Clock } from '../base/clock.ts';
import { InterlinkError, messageOf } from '../base/errors.ts';
import { withDeadline } from '../kube/with-deadline.ts';

const TIMEOUT_MS = 10_000;

/**
 * The address that this machine uses towards `server`, which is where the server most likely reaches it too.
 *
 * @throws Unavailable when the server cannot be connected to.
 */
export async function ownAddress(
  server: string,
  deps: { readonly clock: Clock; readonly signal: AbortSignal },
): Promise<string> {
  const url = new URL(server);
  const port = Number(url.port || (url.protocol === 'http:' ? 80 : 443));
  return withDeadline({ ...deps, ms: TIMEOUT_MS, what: `connection to ${server}` }, async (signal) => {
    const socket = connect({ host: url.hostname.replace(/^\[|\]$/g, ''), port, signal });
    try {
      return await new Promise<string>((resolve, reject) => {
        socket.once('connect', () => resolve((socket.localAddress ?? '').replace(/^::ffff:/, '')));
        socket.once('error', reject);
      });
    } catch (error) {
      signal.throwIfAborted();
      throw new InterlinkError(
        'Unavailable',
        `the API server ${server} cannot be reached: ${messageOf(error)}; check the kubeconfig, or set node.internalIP to start without it`,
        { code: 'node.own-address', cause: error },
      );
    } finally {
      socket.destroy();
    }
  });
}
