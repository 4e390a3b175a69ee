/** Shape of the delays of a {@link Backoff}. */
export interface BackoffOptions {
  readonly initialMs: number;
  readonly maxMs: number;
  /** Factor per step; 2 unless given. */
  readonly factor?: number;
  /** Part of the delay that is random: 0.2 gives 80–100 % of it. 0.2 unless given. */
  readonly jitter?: number;
  readonly random?: () => number;
}

/** Exponential delays with jitter. `next()` gives the delay before the next try, `reset()` starts over after a success. */
export class Backoff {
  readonly #options: BackoffOptions;
  #step = 0;

  constructor(options: BackoffOptions) {
    this.#options = options;
  }

  /** Number of delays given since the last reset. */
  get attempts(): number {
    return this.#step;
  }

  next(): number {
    const { initialMs, maxMs, factor = 2, jitter = 0.2, random = Math.random } = this.#options;
    const full = Math.min(maxMs, initialMs * factor ** Math.min(this.#step, 60));
    this.#step += 1;
    return full * (1 - jitter * random());
  }

  reset(): void {
    this.#step = 0;
  }
}
