import type { Clock, SleepOptions } from '../../src/base/clock.ts';

interface Sleeper {
  readonly wakeMs: number;
  readonly wake: () => void;
}

/** A clock that stands still until `advance`. Sleepers wake in the order of their times. */
export class FakeClock implements Clock {
  #nowMs: number;
  #elapsedMs = 0;
  #sleepers: Sleeper[] = [];

  constructor(startMs: number = Date.parse('2026-11-25T12:00:00Z')) {
    this.#nowMs = startMs;
  }

  nowMs(): number {
    return this.#nowMs;
  }

  monotonicMs(): number {
    return this.#elapsedMs;
  }

  /** How many sleeps are under way. */
  get sleepers(): number {
    return this.#sleepers.length;
  }

  sleep(ms: number, { signal }: SleepOptions = {}): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason);
      const onAbort = (): void => {
        this.#sleepers = this.#sleepers.filter((other) => other !== sleeper);
        reject(signal?.reason);
      };
      const sleeper = {
        wakeMs: this.#elapsedMs + Math.max(0, ms),
        wake: () => {
          signal?.removeEventListener('abort', onAbort);
          resolve();
        },
      };
      signal?.addEventListener('abort', onAbort, { once: true });
      this.#sleepers.push(sleeper);
    });
  }

  /** Moves time on; whoever wakes gets to run before the next one does. */
  async advance(ms: number): Promise<void> {
    const untilMs = this.#elapsedMs + ms;
    for (;;) {
      const next = this.#sleepers.filter(({ wakeMs }) => wakeMs <= untilMs).sort((a, b) => a.wakeMs - b.wakeMs)[0];
      if (next === undefined) break;
      this.#sleepers = this.#sleepers.filter((other) => other !== next);
      this.#move(next.wakeMs);
      next.wake();
      await new Promise((resolve) => setImmediate(resolve));
    }
    this.#move(untilMs);
  }

  #move(toMs: number): void {
    this.#nowMs += toMs - this.#elapsedMs;
    this.#elapsedMs = toMs;
  }
}
