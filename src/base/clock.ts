import { setTimeout as delay } from 'node:timers/promises';

/** How a sleep may be cut short. */
export interface SleepOptions {
  readonly signal?: AbortSignal | undefined;
}

/** The only source of time. Durations are measured with `monotonicMs`, so that a clock that jumps does no harm. */
export interface Clock {
  /** Wall-clock time in milliseconds since 1970; may jump. */
  nowMs(): number;
  /** Milliseconds since some fixed moment; never goes back. */
  monotonicMs(): number;
  /** Resolves after `ms`; rejects with `signal.reason` itself when the signal aborts, at once if it already has. */
  sleep(ms: number, options?: SleepOptions): Promise<void>;
}

/** The machine's own time. */
export const systemClock: Clock = {
  nowMs: () => Date.now(),
  monotonicMs: () => performance.now(),
  async sleep(ms, { signal } = {}) {
    signal?.throwIfAborted();
    try {
      await delay(Math.max(0, ms), undefined, signal ? { signal } : {});
    } catch (error) {
      signal?.throwIfAborted();
      throw error;
    }
  },
};

/** RFC 3339 in UTC with whole seconds, as `metav1.Time` is written. */
export function rfc3339(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, 19)}Z`;
}

/** RFC 3339 in UTC with six digits, the only layout that `metav1.MicroTime` (leases, events) accepts. */
export function rfc3339Micro(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, 23)}000Z`;
}
