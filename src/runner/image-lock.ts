import { randomBytes } from 'node:crypto';
import { mkdir, open, readdir, rename, rm, rmdir, stat, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock } from '../base/clock.ts';
import { systemCodeOf } from '../base/errors.ts';

const POLL_MS = 300;
/** Longest pause between two looks of one that waits. */
const MAX_POLL_MS = 3_000;
/** Looking whether the lock is held is cheap; trying to get it from a holder who may be dead is not. */
const TRY_MS = 30_000;
const REFRESH_MS = 10_000;
/** A holder that has not been heard of for so long is dead; file attributes may be a minute old on a network file system. */
const STALE_MS = 120_000;

export interface LockOptions<T> {
  readonly clock: Clock;
  readonly signal: AbortSignal;
  /** Asked now and then by one that waits: what makes the work, and with it the lock, needless. */
  readonly shortcut?: () => Promise<T | undefined>;
}

/**
 * Does `work` while holding the lock `path`, which also works on network file systems. A holder shows every 10 s that it lives; one without sign of life for two
 * minutes loses the lock to exactly one of those that wait. Times are those of the file server, so clocks of machines may differ.
 *
 * @throws `signal.reason` while it waits.
 */
export async function withLock<T>(path: string, options: LockOptions<T>, work: () => Promise<T>): Promise<T> {
  const { clock, signal, shortcut } = options;
  let pauseMs = POLL_MS;
  let sinceTriedMs = 0;
  let lock = await Lock.take(path);
  while (lock === undefined) {
    await clock.sleep(pauseMs, { signal });
    sinceTriedMs += pauseMs;
    pauseMs = Math.min(pauseMs * 1.2, MAX_POLL_MS);
    const done = await shortcut?.();
    if (done !== undefined) return done;
    if (sinceTriedMs < TRY_MS && !(await isFree(path))) continue;
    sinceTriedMs = 0;
    lock = await Lock.take(path);
  }
  return hold(lock, clock, work);
}

/** As {@link withLock}; undefined at once when somebody else holds the lock. */
export async function tryLock<T>(path: string, clock: Clock, work: () => Promise<T>): Promise<T | undefined> {
  const lock = await Lock.take(path);
  return lock && hold(lock, clock, work);
}

async function hold<T>(lock: Lock, clock: Clock, work: () => Promise<T>): Promise<T> {
  const done = new AbortController();
  const refreshing = (async () => {
    for (;;) {
      await clock.sleep(REFRESH_MS, { signal: done.signal });
      // One that fails is made up for by the next; a lock that was lost in a long standstill of this machine does no harm, as what is made under it is put into
      // its place in one step.
      await lock.refresh().catch(() => {});
    }
  })().catch(() => {
    // Done.
  });
  try {
    return await work();
  } finally {
    done.abort();
    await refreshing;
    await lock.release();
  }
}

/** A directory that holds one file, whose name is that of the holder and whose time is the last sign of its life. */
class Lock {
  readonly #path: string;
  readonly #file: string;

  private constructor(path: string, owner: string) {
    this.#path = path;
    this.#file = join(path, owner);
  }

  static async take(path: string): Promise<Lock | undefined> {
    const owner = randomBytes(8).toString('hex');
    const prepared = `${path}.${owner}`;
    await mkdir(prepared, { mode: 0o700 });
    try {
      const written = await touch(join(prepared, owner));
      const lock = new Lock(path, owner);
      // The directory comes with its holder in it, and never in the place of another one that is not empty.
      if (await renamed(prepared, path, lock.#file)) return lock;
      await removeDead(path, written);
      return (await renamed(prepared, path, lock.#file)) ? lock : undefined;
    } finally {
      await rm(prepared, { recursive: true, force: true });
    }
  }

  async refresh(): Promise<void> {
    await touch(this.#file, 'r+');
  }

  async release(): Promise<void> {
    try {
      await unlink(this.#file);
      await rmdir(this.#path);
    } catch (error) {
      // Somebody else has it by now.
      if (!['ENOENT', 'ENOTEMPTY', 'EEXIST'].includes(systemCodeOf(error) ?? '')) throw error;
    }
  }
}

/** Removes the file of a holder who is dead, which sets the lock free for all. Its name was used once, so one who comes late harms no later holder. */
async function removeDead(path: string, nowMs: number): Promise<void> {
  try {
    for (const name of await readdir(path)) {
      const file = join(path, name);
      const { mtimeMs } = await stat(file);
      if (nowMs - mtimeMs > STALE_MS) await unlink(file);
    }
  } catch (error) {
    if (systemCodeOf(error) !== 'ENOENT') throw error;
  }
}

/** Whether nobody holds the lock. */
async function isFree(path: string): Promise<boolean> {
  try {
    return (await readdir(path)).length === 0;
  } catch (error) {
    if (systemCodeOf(error) !== 'ENOENT') throw error;
    return true;
  }
}

/** Writes a file and gives the time at which the file server says that it did. */
async function touch(path: string, flags = 'w'): Promise<number> {
  const file = await open(path, flags, 0o600);
  try {
    await file.writeFile('held');
    await file.sync();
    return (await file.stat()).mtimeMs;
  } finally {
    await file.close();
  }
}

/** Whether the rename came to pass; a server that answered twice is asked for `proof`. */
async function renamed(from: string, to: string, proof: string): Promise<boolean> {
  try {
    await rename(from, to);
    return true;
  } catch (error) {
    if (!['ENOENT', 'ENOTEMPTY', 'EEXIST'].includes(systemCodeOf(error) ?? '')) throw error;
    return stat(proof).then(
      () => true,
      () => false,
    );
  }
}
