import { mkdir, mkdtemp, readdir, rename, rm, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type Clock, systemClock } from '../../../src/base/clock.ts';
import { tryLock, withLock } from '../../../src/runner/image-lock.ts';

let directory: string;
let path: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'interlink-lock-'));
  path = join(directory, 'lock');
});
afterEach(() => rm(directory, { recursive: true }));

const signal = new AbortController().signal;
/** Pauses of one that waits are a thousand times shorter; signs of life come when they come. */
const clock: Clock = {
  ...systemClock,
  sleep: (ms, options) => systemClock.sleep(ms < 10_000 ? ms / 1_000 : ms, options),
};

/** A lock whose holder was last heard of so long ago. */
async function leftBehind(ageMs: number): Promise<void> {
  await mkdir(path);
  await writeFile(join(path, 'holder'), 'held');
  const then = new Date(systemClock.nowMs() - ageMs);
  await utimes(join(path, 'holder'), then, then);
}

/** Takes the lock and reports how many hold it at the same time at most. */
function crowd(size: number): Promise<{ done: number; most: number }> {
  let [holding, most, done] = [0, 0, 0];
  const one = (): Promise<void> =>
    withLock(path, { clock, signal }, async () => {
      holding += 1;
      most = Math.max(most, holding);
      await new Promise((resolve) => setTimeout(resolve, 2));
      holding -= 1;
      done += 1;
    });
  return Promise.all(Array.from({ length: size }, one)).then(() => ({ done, most }));
}

describe('a lock', () => {
  it('is held by one at a time, and leaves nothing behind', async () => {
    expect(await crowd(12)).toEqual({ done: 12, most: 1 });
    expect(await readdir(directory)).toEqual([]);
  });

  it('of a dead holder goes to exactly one of those that wait', async () => {
    await leftBehind(3_600_000);
    expect(await crowd(12)).toEqual({ done: 12, most: 1 });
    expect(await readdir(directory)).toEqual([]);
  });

  it('of a holder who died while giving it back is free', async () => {
    await mkdir(path);
    expect(await withLock(path, { clock, signal }, async () => 'got it')).toBe('got it');
  });

  it('of a living holder is waited for no longer than the pod lives', async () => {
    await leftBehind(60_000);
    expect(await tryLock(path, clock, async () => 'stolen')).toBeUndefined();
    const stop = new AbortController();
    const waiting = withLock(path, { clock, signal: stop.signal }, async () => 'stolen');
    stop.abort(new Error('stopped'));
    await expect(waiting).rejects.toThrow('stopped');
    expect(await readdir(directory)).toEqual(['lock']);
  });

  it('is not given back by a holder who has lost it', async () => {
    await withLock(path, { clock, signal }, async () => {
      const [holder = ''] = await readdir(path);
      await rename(join(path, holder), join(path, 'other'));
    });
    expect(await readdir(path)).toEqual(['other']);
  });

  it('is given back when the work fails', async () => {
    const work = withLock(path, { clock, signal }, () => Promise.reject(new Error('no')));
    await expect(work).rejects.toThrow('no');
    expect(await tryLock(path, clock, async () => 'free')).toBe('free');
  });
});
