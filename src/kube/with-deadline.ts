import type { Clock } from '../base/clock.ts';
import { InterlinkError } from '../base/errors.ts';

/** How long something may take. */
export interface Deadline {
  readonly clock: Clock;
  readonly ms: number;
  /** Names what took too long, for the message. */
  readonly what: string;
  readonly signal: AbortSignal;
}

/**
 * Runs `action` with a signal that aborts after `ms`; the action then rejects with DeadlineExceeded if it throws the signal's reason. Once
 * the action has settled its signal only follows the outer one, so a stream that it returned may go on.
 */
export async function withDeadline<T>(deadline: Deadline, action: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const { clock, ms, what, signal } = deadline;
  const expiry = new AbortController();
  const settled = new AbortController();
  clock.sleep(ms, { signal: settled.signal }).then(
    () => expiry.abort(new InterlinkError('DeadlineExceeded', `${what}: no answer within ${ms} ms`)),
    // The only way for the sleep to fail: the action settled first.
    () => {},
  );
  try {
    return await action(AbortSignal.any([signal, expiry.signal]));
  } finally {
    settled.abort();
  }
}
