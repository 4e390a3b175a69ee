import { setTimeout as sleep } from 'node:timers/promises';

export interface UntilOptions {
  readonly withinMs?: number;
  readonly everyMs?: number;
  /** Told when it did not come true. */
  readonly evidence?: () => unknown;
}

/** The first value that is neither undefined nor false; fails with the last one's evidence after `withinMs` (60 s). */
export async function until<T>(
  what: string,
  probe: () => Promise<T | undefined | false> | T | undefined | false,
  { withinMs = 60_000, everyMs = 200, evidence }: UntilOptions = {},
): Promise<T> {
  const deadline = performance.now() + withinMs;
  for (;;) {
    const value = await probe();
    if (value !== undefined && value !== false) return value;
    if (performance.now() > deadline) {
      const told = evidence ? `\n${JSON.stringify(await evidence(), null, 1)}` : '';
      throw new Error(`not within ${withinMs / 1000} s: ${what}${told}`);
    }
    await sleep(everyMs);
  }
}
