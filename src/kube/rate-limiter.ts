import type { Clock } from '../base/clock.ts';

export interface RateLimiterOptions {
  readonly perSecond: number;
  /** Requests that may go at once after a quiet time. */
  readonly burst: number;
}

/** A token bucket that serves its callers in the order of their coming. */
export class RateLimiter {
  readonly #clock: Clock;
  readonly #options: RateLimiterOptions;
  #tokens: number;
  #refilledAtMs: number;

  constructor(clock: Clock, options: RateLimiterOptions) {
    this.#clock = clock;
    this.#options = options;
    this.#tokens = options.burst;
    this.#refilledAtMs = clock.monotonicMs();
  }

  /** Resolves when the caller may send; an abort gives the place back. */
  async take(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    const { perSecond, burst } = this.#options;
    const nowMs = this.#clock.monotonicMs();
    this.#tokens = Math.min(burst, this.#tokens + ((nowMs - this.#refilledAtMs) * perSecond) / 1000);
    this.#refilledAtMs = nowMs;
    // Below zero the bucket is in debt: each waiter has its own place, so that nobody overtakes.
    this.#tokens -= 1;
    if (this.#tokens >= 0) return;
    try {
      await this.#clock.sleep((-this.#tokens * 1000) / perSecond, { signal });
    } catch (error) {
      this.#tokens += 1;
      throw error;
    }
  }
}
