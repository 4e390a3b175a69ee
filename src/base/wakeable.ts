import type { Clock } from './clock.ts';

/** A sleep that others can end. A wake-up that comes while nobody sleeps ends the next sleep at once. */
export class Wakeable {
  readonly #clock: Clock;
  #pending = false;
  #wake: (() => void) | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  wake(): void {
    this.#pending = true;
    this.#wake?.();
  }

  /** Resolves after `ms` (never by itself when undefined), after a wake-up, or when the signal aborts. */
  async sleep(ms: number | undefined, signal: AbortSignal): Promise<void> {
    if (!this.#pending && !signal.aborted) {
      const woken = Promise.withResolvers<void>();
      const over = new AbortController();
      this.#wake = woken.resolve;
      signal.addEventListener('abort', woken.resolve as () => void, { once: true });
      try {
        if (ms === undefined) await woken.promise;
        else await Promise.race([woken.promise, this.#clock.sleep(ms, { signal: over.signal }).catch(() => {})]);
      } finally {
        // Ends the clock's sleep, whose rejection is the one that was caught above.
        over.abort();
        this.#wake = undefined;
        signal.removeEventListener('abort', woken.resolve as () => void);
      }
    }
    this.#pending = false;
  }
}
