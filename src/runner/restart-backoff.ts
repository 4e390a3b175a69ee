import type { Clock } from '../base/clock.ts';

const INITIAL_MS = 10_000;
const MAX_MS = 300_000;
/** A container that ran this long is taken for a sound one. */
const RESET_MS = 2 * MAX_MS;

/**
 * How long a container waits before it is started again, as a kubelet has it: the first restart is at once, then 10 s after its end, doubling to
 * 300 s; over again when it has run for more than 10 minutes. Times are those of `Clock.monotonicMs`.
 *
 * @see https://github.com/kubernetes/client-go/blob/v0.36.3/util/flowcontrol/backoff.go
 */
export class RestartBackoff {
  readonly #clock: Clock;
  #delayMs = 0;
  #restartedMs = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Milliseconds between an end and the start after it, as {@link remainingMs} counts them now. */
  get delayMs(): number {
    return this.#delayMs;
  }

  /** Milliseconds that are left of the wait after an end; 0 when the next attempt may start. */
  remainingMs(endedMs: number): number {
    if (this.#delayMs === 0 || this.#isExpired(endedMs)) return 0;
    return Math.max(0, endedMs + this.#delayMs - this.#clock.monotonicMs());
  }

  /** To be called when an attempt starts because of that end. */
  restart(endedMs: number): void {
    const isFirst = this.#delayMs === 0 || this.#isExpired(endedMs);
    this.#delayMs = isFirst ? INITIAL_MS : Math.min(MAX_MS, this.#delayMs * 2);
    this.#restartedMs = this.#clock.monotonicMs();
  }

  #isExpired(endedMs: number): boolean {
    return endedMs - this.#restartedMs > RESET_MS;
  }
}
