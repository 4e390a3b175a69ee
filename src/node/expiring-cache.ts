import type { Clock } from '../base/clock.ts';

/** Remembers values for a time; above its size the oldest goes first. */
export class ExpiringCache<V> {
  readonly #clock: Clock;
  readonly #size: number;
  readonly #entries = new Map<string, { readonly value: V; readonly untilMs: number }>();

  constructor(clock: Clock, size: number) {
    this.#clock = clock;
    this.#size = size;
  }

  /** The entry when there is one whose time is not over; in an object, as the value itself may be undefined. */
  get(key: string): { readonly value: V } | undefined {
    const entry = this.#entries.get(key);
    if (entry === undefined || this.#clock.monotonicMs() < entry.untilMs) return entry;
    this.#entries.delete(key);
    return undefined;
  }

  set(key: string, value: V, ttlMs: number): void {
    this.#entries.delete(key);
    this.#entries.set(key, { value, untilMs: this.#clock.monotonicMs() + ttlMs });
    const oldest = this.#entries.keys().next();
    if (this.#entries.size > this.#size && !oldest.done) this.#entries.delete(oldest.value);
  }
}
