import type { Clock } from '../base/clock.ts';

/** A container that can be stopped. */
interface Stoppable {
  /** Sends SIGTERM; called once. */
  terminate(): void;
  /** Sends SIGKILL; may be called again. */
  kill(): void;
}

/**
 * When the pod has to end. The first request asks every running container to terminate and aborts what waits; when the grace is over everything
 * is killed. Later requests only shorten the grace. A grace of 0 kills at once, without SIGTERM.
 */
export class StopControl {
  readonly #clock: Clock;
  readonly #controller = new AbortController();
  readonly #running = new Set<Stoppable>();
  #deadlineMs: number | undefined;
  #timer: AbortController | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Aborts with the first request. */
  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** Seconds that may be in the past: a grace that is over kills at once. */
  request(graceSeconds: number): void {
    const deadlineMs = this.#clock.monotonicMs() + Math.max(0, graceSeconds) * 1000;
    if (this.#deadlineMs !== undefined && deadlineMs >= this.#deadlineMs) return;
    const isFirst = this.#deadlineMs === undefined;
    this.#deadlineMs = deadlineMs;
    this.#timer?.abort();
    if (isFirst) {
      if (graceSeconds > 0) for (const container of this.#running) container.terminate();
      this.#controller.abort();
    }
    if (graceSeconds <= 0) this.#killAll();
    else this.#killAfter(graceSeconds * 1000);
  }

  /** Lets `container` be stopped until the returned function is called; one that starts too late is stopped like the others. */
  add(container: Stoppable): () => void {
    this.#running.add(container);
    if (this.#deadlineMs !== undefined) {
      if (this.#deadlineMs > this.#clock.monotonicMs()) container.terminate();
      else container.kill();
    }
    return () => this.#running.delete(container);
  }

  /** Ends the timer; nothing is killed any more. */
  close(): void {
    this.#timer?.abort();
  }

  #killAfter(ms: number): void {
    const timer = new AbortController();
    this.#timer = timer;
    this.#clock.sleep(ms, { signal: timer.signal }).then(
      () => this.#killAll(),
      () => {},
    );
  }

  #killAll(): void {
    for (const container of this.#running) container.kill();
  }
}
