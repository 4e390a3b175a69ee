import type { Clock, SleepOptions } from '../../src/base/clock.ts';
import { systemClock } from '../../src/base/clock.ts';

/** A clock on which time passes `factor` times as fast, for tests in which real connections meet long waits. */
export class FastClock implements Clock {
  readonly #factor: number;
  readonly #startMs = performance.now();

  constructor(factor: number) {
    this.#factor = factor;
  }

  nowMs(): number {
    return Date.parse('2026-11-25T12:00:00Z') + this.monotonicMs();
  }

  monotonicMs(): number {
    return (performance.now() - this.#startMs) * this.#factor;
  }

  sleep(ms: number, options?: SleepOptions): Promise<void> {
    return systemClock.sleep(ms / this.#factor, options);
  }
}
