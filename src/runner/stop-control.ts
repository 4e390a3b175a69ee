import type { Clock } from '../base/clock.ts';

/** Time that whoever is stopped has to end by itself. */
export interface Grace {
  /** Aborts when it is over. */
  readonly over: AbortSignal;
  /** Aborts when there is none at all: no hook, no SIGTERM, no waiting for others. */
  readonly forced: AbortSignal;
}

/** When something has to end: the pod, or one container. The first request starts the grace, later ones only shorten it. */
export class StopControl implements Grace {
  readonly #clock: Clock;
  readonly #requested = new AbortController();
  readonly #over = new AbortController();
  readonly #forced = new AbortController();
  #deadlineMs: number | undefined;
  #timer: AbortController | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Aborts with the first request. */
  get signal(): AbortSignal {
    return this.#requested.signal;
  }

  get over(): AbortSignal {
    return this.#over.signal;
  }

  get forced(): AbortSignal {
    return this.#forced.signal;
  }

  /** Seconds that may be in the past: a grace that is over is none. */
  request(graceSeconds: number): void {
    const deadlineMs = this.#clock.monotonicMs() + Math.max(0, graceSeconds) * 1000;
    if (this.#deadlineMs !== undefined && deadlineMs >= this.#deadlineMs) return;
    this.#deadlineMs = deadlineMs;
    this.#timer?.abort();
    if (graceSeconds <= 0) {
      this.#forced.abort();
      this.#over.abort();
    } else {
      this.#endAfter(graceSeconds * 1000);
    }
    this.#requested.abort();
  }

  /** Ends the timer; the grace is never over any more. */
  close(): void {
    this.#timer?.abort();
  }

  #endAfter(ms: number): void {
    const timer = new AbortController();
    this.#timer = timer;
    this.#clock.sleep(ms, { signal: timer.signal }).then(
      () => this.#over.abort(),
      () => {},
    );
  }
}
