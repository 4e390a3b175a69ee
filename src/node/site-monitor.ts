import type { Clock } from '../base/clock.ts';
import { messageOf } from '../base/errors.ts';
import type { Logger } from '../base/logger.ts';
import type { Service } from '../base/service.ts';
import type { Sidecar } from '../contract/sidecar.ts';
import { withDeadline } from '../kube/with-deadline.ts';
import { type SiteOffer, SiteOffers } from './site-offer.ts';

/** What is known of the site. */
export interface SiteState {
  /** `unknown` until the first answer, or until enough failures. */
  readonly connection: 'unknown' | 'reachable' | 'unreachable';
  /** Why it is not reachable; empty otherwise. */
  readonly problem: string;
  readonly offer: SiteOffer;
}

export interface SiteMonitorOptions {
  readonly pingIntervalMs: number;
  readonly pingTimeoutMs: number;
  /** Failures in a row that make the site unreachable. */
  readonly failureThreshold: number;
}

/** Looks at the site all the time. `ready` resolves after the first ping, whatever came of it. */
export interface SiteMonitor extends Service {
  readonly state: SiteState;
  /** Calls `listener` after each change of `state`, for as long as the monitor lives. */
  onChange(listener: () => void): void;
}

/** Pings nothing until `run`. */
export function createSiteMonitor(
  deps: { readonly sidecar: Sidecar; readonly clock: Clock; readonly logger: Logger },
  options: SiteMonitorOptions,
): SiteMonitor {
  const { sidecar, clock, logger } = deps;
  const offers = new SiteOffers();
  const listeners: (() => void)[] = [];
  const complaints = new Set<string>();
  const ready = Promise.withResolvers<void>();
  let failures = 0;
  let state: SiteState = { connection: 'unknown', problem: '', offer: offers.current };

  function set(next: SiteState): void {
    const before = state;
    state = next;
    if (JSON.stringify(before) === JSON.stringify(next)) return;
    if (before.connection !== next.connection) {
      if (next.connection === 'reachable') logger.info('site reachable');
      else logger.warn('site unreachable, no new pods will be placed here', { err: next.problem });
    }
    for (const listener of listeners) listener();
  }

  async function look(signal: AbortSignal): Promise<void> {
    try {
      const deadline = { clock, ms: options.pingTimeoutMs, what: 'ping of the site', signal };
      const ping = await withDeadline(deadline, (inner) => sidecar.ping({ signal: inner }));
      failures = 0;
      offers.add(ping, (problem) => {
        // A site says the same at every ping; each oddity is worth one line.
        if (complaints.size < 100 && !complaints.has(problem)) logger.warn('site says something odd', { problem });
        complaints.add(problem);
      });
      set({ connection: 'reachable', problem: '', offer: offers.current });
    } catch (error) {
      if (signal.aborted) return;
      failures += 1;
      logger.debug('ping failed', { attempt: failures, err: messageOf(error) });
      if (failures >= options.failureThreshold)
        set({ connection: 'unreachable', problem: messageOf(error), offer: offers.current });
    }
  }

  return {
    name: 'site monitor',
    ready: ready.promise,
    get state() {
      return state;
    },
    onChange(listener) {
      listeners.push(listener);
    },
    async run(signal) {
      while (!signal.aborted) {
        await look(signal);
        ready.resolve();
        try {
          await clock.sleep(options.pingIntervalMs, { signal });
        } catch (error) {
          if (!signal.aborted) throw error;
        }
      }
    },
  };
}
