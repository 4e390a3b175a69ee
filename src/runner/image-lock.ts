import { mkdir, rm, stat, utimes } from 'node:fs/promises';
import type { Clock } from '../base/clock.ts';
import { systemCodeOf } from '../base/errors.ts';

const POLL_MS = 300;
const REFRESH_MS = 10_000;
/** A holder that has not been heard of for so long is dead; clocks of a cluster's machines may differ by a part of it. */
const STALE_MS = 120_000;

/**
 * Does `work` while holding the directory `path` as a lock, which also works on network file systems. A holder shows every 10 s that it lives; a lock without sign of
 * life for two minutes is taken over.
 * @throws `signal.reason` while it waits.
 */
export async function withLock<T>(
  path: string,
  { clock, signal }: { readonly clock: Clock; readonly signal: AbortSignal },
  work: () => Promise<T>,
): Promise<T> {
  while (!(await take(path, clock))) await clock.sleep(POLL_MS, { signal });
  const done = new AbortController();
  const refreshing = (async () => {
    for (;;) {
      await clock.sleep(REFRESH_MS, { signal: done.signal });
      const now = new Date(clock.nowMs());
      await utimes(path, now, now);
    }
  })().catch(() => {
    // Aborted; or the lock has gone, then there is nothing to refresh.
  });
  try {
    return await work();
  } finally {
    done.abort();
    await refreshing;
    await rm(path, { recursive: true, force: true });
  }
}

async function take(path: string, clock: Clock): Promise<boolean> {
  try {
    await mkdir(path, { mode: 0o700 });
    return true;
  } catch (error) {
    if (systemCodeOf(error) !== 'EEXIST') throw error;
  }
  try {
    const { mtimeMs } = await stat(path);
    if (clock.nowMs() - mtimeMs > STALE_MS) await rm(path, { recursive: true, force: true });
  } catch (error) {
    if (systemCodeOf(error) !== 'ENOENT') throw error;
  }
  return false;
}
