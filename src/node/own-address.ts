import { connect } from 'node:net';
import { Backoff } from '../base/backoff.ts';
import type { Clock } from '../base/clock.ts';
import { messageOf } from '../base/errors.ts';
import type { Logger } from '../base/logger.ts';
import { withDeadline } from '../kube/with-deadline.ts';

export interface OwnAddressDeps {
  readonly clock: Clock;
  readonly logger: Logger;
}

const TIMEOUT_MS = 10_000;

/**
 * The address that this machine uses towards `server`, which is where the server most likely reaches it too. Tries until the server can be
 * connected to.
 */
export async function ownAddress(server: string, deps: OwnAddressDeps, signal: AbortSignal): Promise<string> {
  const backoff = new Backoff({ initialMs: 500, maxMs: 8_000 });
  for (;;) {
    try {
      const deadline = { clock: deps.clock, ms: TIMEOUT_MS, what: `connection to ${server}`, signal };
      return await withDeadline(deadline, (inner) => localAddress(new URL(server), inner));
    } catch (error) {
      signal.throwIfAborted();
      if (backoff.attempts === 0)
        deps.logger.warn('the API server cannot be reached, will retry', { server, err: messageOf(error) });
      await deps.clock.sleep(backoff.next(), { signal });
    }
  }
}

async function localAddress(url: URL, signal: AbortSignal): Promise<string> {
  const port = Number(url.port || (url.protocol === 'http:' ? 80 : 443));
  const socket = connect({ host: url.hostname.replace(/^\[|\]$/g, ''), port, signal });
  try {
    return await new Promise<string>((resolve, reject) => {
      socket.once('connect', () => resolve((socket.localAddress ?? '').replace(/^::ffff:/, '')));
      socket.once('error', (error) => reject(signal.aborted ? signal.reason : error));
    });
  } finally {
    socket.destroy();
  }
}
