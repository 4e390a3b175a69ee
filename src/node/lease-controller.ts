import type { Clock } from '../base/clock.ts';
import { messageOf } from '../base/errors.ts';
import type { Logger } from '../base/logger.ts';
import type { Service } from '../base/service.ts';
import type { KubeClient } from '../kube/kube-client.ts';
import { NodeLease } from '../kube/lease.ts';
import { withDeadline } from '../kube/with-deadline.ts';

export interface LeaseControllerDeps {
  /** A client of its own, so that no other request is waited for. */
  readonly kube: KubeClient;
  readonly clock: Clock;
  readonly logger: Logger;
  /** UID of the Node object of now; undefined while there is none. */
  readonly nodeUid: () => string | undefined;
}

export interface LeaseControllerOptions {
  readonly nodeName: string;
  readonly durationSeconds: number;
  readonly renewSeconds: number;
}

/** After a failure the next try comes this soon, as a few misses make the node look dead. */
const RETRY_MS = 1_000;
/** A first answer is not waited for longer, so that a lost packet costs no whole interval; a slow server gets the interval after that. */
const FIRST_TRY_MS = 5_000;

/**
 * Renews the node's Lease for as long as this process lives, whatever the site or the rest of the node does. Its first renewal resolves `ready`. The
 * Lease is left behind at the end and expires by itself.
 */
export function createLeaseController(deps: LeaseControllerDeps, options: LeaseControllerOptions): Service {
  const { kube, clock, logger, nodeUid } = deps;
  const lease = new NodeLease({ kube, clock }, options);
  const ready = Promise.withResolvers<void>();
  const intervalMs = options.renewSeconds * 1_000;

  async function attempt(ms: number, signal: AbortSignal): Promise<boolean> {
    const uid = nodeUid();
    if (uid === undefined) return false;
    await withDeadline({ clock, ms, what: 'lease renewal', signal }, (inner) => lease.renew(uid, inner));
    return true;
  }

  return {
    name: 'lease controller',
    ready: ready.promise,
    async run(signal) {
      let failing = false;
      while (!signal.aborted) {
        const startedMs = clock.monotonicMs();
        let waitMs = RETRY_MS;
        try {
          if (await attempt(failing ? intervalMs : Math.min(FIRST_TRY_MS, intervalMs), signal)) {
            if (failing) logger.info('lease renewed again');
            failing = false;
            ready.resolve();
            waitMs = Math.max(0, intervalMs - (clock.monotonicMs() - startedMs));
          }
        } catch (error) {
          if (signal.aborted) return;
          if (!failing) logger.warn('lease not renewed, will retry', { err: messageOf(error) });
          failing = true;
        }
        try {
          await clock.sleep(waitMs, { signal });
        } catch (error) {
          if (!signal.aborted) throw error;
        }
      }
    },
  };
}
