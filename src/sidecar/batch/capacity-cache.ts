import type { Clock } from '../../base/clock.ts';
import type { SiteResources } from '../../contract/sidecar.ts';

/** Asks for the capacity at most this often; nodes ping more often and there may be several. */
const MAX_AGE_MS = 10_000;

/** The capacity of a batch system, asked for once for everybody. A failed question is forgotten at once. */
export class CapacityCache {
  readonly #ask: () => Promise<SiteResources>;
  readonly #clock: Clock;
  #last: { readonly atMs: number; readonly value: Promise<SiteResources> } | undefined;

  constructor(ask: () => Promise<SiteResources>, clock: Clock) {
    this.#ask = ask;
    this.#clock = clock;
  }

  /** @throws what the question throws; `signal.reason` on abort, which ends the waiting and not the question. */
  async get(signal: AbortSignal): Promise<SiteResources> {
    signal.throwIfAborted();
    const nowMs = this.#clock.monotonicMs();
    if (!this.#last || nowMs - this.#last.atMs > MAX_AGE_MS) {
      const value = this.#ask();
      const asked = { atMs: nowMs, value };
      value.catch(() => {
        if (this.#last === asked) this.#last = undefined;
      });
      this.#last = asked;
    }
    const aborted = Promise.withResolvers<never>();
    const onAbort = (): void => aborted.reject(signal.reason);
    signal.addEventListener('abort', onAbort, { once: true });
    try {
      return await Promise.race([this.#last.value, aborted.promise]);
    } finally {
      signal.removeEventListener('abort', onAbort);
    }
  }
}
