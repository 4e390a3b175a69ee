import { Backoff } from '../base/backoff.ts';
import { messageOf } from '../base/errors.ts';
import type { Logger } from '../base/logger.ts';
import type { Wakeable } from '../base/wakeable.ts';

export interface LevelLoopDeps {
  readonly wakeable: Wakeable;
  readonly logger: Logger;
  /** Does what is next; gives the time after which to look again, undefined for when something wakes it. */
  readonly advance: () => Promise<number | undefined>;
}

const BACKOFF = { initialMs: 1_000, maxMs: 60_000 };

/** Calls `advance` at once, after each wake-up and after the times it asks for, until the signal aborts. A call that fails is repeated after a growing pause. */
export async function runLevelLoop({ wakeable, logger, advance }: LevelLoopDeps, signal: AbortSignal): Promise<void> {
  const backoff = new Backoff(BACKOFF);
  while (!signal.aborted) {
    let waitMs: number | undefined;
    try {
      waitMs = await advance();
      backoff.reset();
    } catch (error) {
      if (signal.aborted) return;
      waitMs = backoff.next();
      logger.warn('pod could not be taken further, will retry', { err: messageOf(error), attempt: backoff.attempts });
    }
    await wakeable.sleep(waitMs, signal);
  }
}
