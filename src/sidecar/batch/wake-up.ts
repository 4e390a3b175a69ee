import type { Clock } from '../../base/clock.ts';

/** A sleep of a loop that others may cut short. */
export class WakeUp {
  #clock: Clock;
  #woken = false;
  #sleep: AbortController | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Ends the running wait, or the next one if none is running. */
  wake(): void {
    this.#woken = true;
    this.#sleep?.abort();
  }

  /** Resolves after `ms` or at once when woken; rejects with `signal.reason`. One waiter at a time. */
  async wait(ms: number, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    if (!this.#woken) {
      this.#sleep = new AbortController();
      try {
        await this.#clock.sleep(ms, { signal: AbortSignal.any([signal, this.#sleep.signal]) });
      } catch (error) {
        signal.throwIfAborted();
        if (!this.#sleep.signal.aborted) throw error;
      } finally {
        this.#sleep = undefined;
      }
    }
    this.#woken = false;
  }
}
