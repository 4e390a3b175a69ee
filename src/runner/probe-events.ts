import type { Clock } from '../base/clock.ts';

/** As many of one kind as a kubelet tells in a row, and how often one more may come after that. */
const BURST = 25;
const ONE_MORE_MS = 5 * 60_000;

/**
 * Says whether another event about a container's health may be told. Without a limit a probe that fails each second for days would fill the job
 * directory. The numbers are those of a kubelet's filter for events of one object.
 *
 * @see https://github.com/kubernetes/client-go/blob/master/tools/record/events_cache.go (defaultSpamBurst, defaultSpamQPS)
 */
export class ProbeEvents {
  readonly #clock: Clock;
  #left = BURST;
  #sinceMs: number;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#sinceMs = clock.monotonicMs();
  }

  /** Takes one of those that are left. */
  take(): boolean {
    const gained = Math.floor((this.#clock.monotonicMs() - this.#sinceMs) / ONE_MORE_MS);
    this.#left = Math.min(BURST, this.#left + gained);
    this.#sinceMs += gained * ONE_MORE_MS;
    if (this.#left === 0) return false;
    this.#left -= 1;
    return true;
  }
}
