import { chmod, mkdir, mkdtemp, readdir, readFile, rename, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type Clock, systemClock } from '../../../src/base/clock.ts';
import { silentLogger } from '../../../src/base/logger.ts';
import { type FetchedImage, ImageCache } from '../../../src/runner/image-cache.ts';
import { evictImages } from '../../../src/runner/image-eviction.ts';
import { ImageUses } from '../../../src/runner/image-uses.ts';
import { FakePuller } from '../../fakes/fake-puller.ts';

let directory: string;
let puller: FakePuller;
const open: ImageCache[] = [];
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'interlink-images-'));
  puller = new FakePuller();
});
afterEach(async () => {
  for (const cache of open.splice(0)) await cache.close();
  await rm(directory, { recursive: true });
});

const signal = new AbortController().signal;
/** Waits for a lock a hundred times faster than life; what takes longer takes as long as ever. */
const clock: Clock = { ...systemClock, sleep: (ms, options) => systemClock.sleep(ms < 9_000 ? ms / 100 : ms, options) };

/** A cache as another job has it. */
function job(maxBytes?: number): ImageCache {
  const cache = new ImageCache({ directory, puller, clock, logger: silentLogger, maxBytes });
  open.push(cache);
  return cache;
}

function fetch(cache: ImageCache, key: string): Promise<FetchedImage> {
  const make = async (place: { directory: string; work: string; target: string }): Promise<undefined> => {
    await puller.pull({ ...place, url: key, signal });
  };
  return cache.fetch({ key, make, signal });
}

/** Names of images, and of anything else that a fetch may have left. */
async function content(): Promise<string[]> {
  const left = await Promise.all(
    ['tmp', 'locks', 'doomed'].map(async (name) =>
      (await readdir(join(directory, name))).map((entry) => `${name}/${entry}`),
    ),
  );
  return [...(await readdir(directory)).filter((name) => name.endsWith('.sif')), ...left.flat()].toSorted();
}

/** Makes an image one that was last used so many days ago. */
async function usedDaysAgo(key: string, days: number): Promise<void> {
  const then = new Date(systemClock.nowMs() - days * 86_400_000);
  await utimes(join(directory, `${key}.sif`), then, then);
}

describe('the image cache', () => {
  it('fetches content once for any number of jobs at the same time', async () => {
    const fetched = await Promise.all(Array.from({ length: 20 }, () => fetch(job(), 'k')));
    expect(new Set(fetched.map(({ path }) => path))).toEqual(new Set([join(directory, 'k.sif')]));
    expect(puller.pulled).toEqual(['k']);
    expect(fetched.filter(({ waitedMs }) => waitedMs > 0).length).toBeGreaterThanOrEqual(19);
    expect(await content()).toEqual(['k.sif']);
  });

  it('shows content when it is whole, to its owner alone', async () => {
    const cache = job();
    const seen: (string | undefined)[] = [];
    puller.midway = async () => {
      seen.push(await job().find('k'));
    };
    const { path, sizeBytes, key } = await fetch(cache, 'k');
    expect(seen).toEqual([undefined]);
    expect({ sizeBytes, key }).toEqual({ sizeBytes: 10, key: 'k' });
    expect(await job().find('k')).toBe(path);
    expect((await stat(directory)).mode & 0o777).toBe(0o700);
  });

  it('leaves nothing of a fetch that failed', async () => {
    puller.failure = 'manifest unknown';
    puller.midway = async ({ work }) => {
      // As unpacked images have them: not even the owner may write.
      await mkdir(join(work, 'rootfs/bin'), { recursive: true });
      await writeFile(join(work, 'rootfs/bin/sh'), '');
      await chmod(join(work, 'rootfs/bin'), 0o555);
    };
    await expect(fetch(job(), 'k')).rejects.toThrow('manifest unknown');
    expect(await content()).toEqual([]);
    expect(await readdir(join(directory, 'uses'))).toEqual([]);
  });

  it('removes what a killed job has left of the same content, and lets others work', async () => {
    await fetch(job(), 'first');
    for (const name of ['k.0123', 'other.0123']) await mkdir(join(directory, 'tmp', name));
    await fetch(job(), 'k');
    expect(await content()).toEqual(['first.sif', 'k.sif', 'tmp/other.0123']);
  });

  it('names content as the one who made it says, and takes what was made meanwhile', async () => {
    const cache = job();
    const make = async ({ target }: { target: string }): Promise<string> => {
      await writeFile(target, 'x');
      return 'by-content';
    };
    const look = async (): Promise<string> => 'by-content';
    expect(await cache.fetch({ key: 'url', make, look, signal })).toMatchObject({ key: 'by-content' });
    const never = (): Promise<never> => Promise.reject(new Error('made twice'));
    expect(await job().fetch({ key: 'url', make: never, look, signal })).toMatchObject({ key: 'by-content' });
  });

  it('is waited for no longer than the pod lives', async () => {
    await fetch(job(), 'first');
    await mkdir(join(directory, 'locks/k'));
    await writeFile(join(directory, 'locks/k/holder'), 'held');
    const stop = AbortSignal.abort(new Error('stopped'));
    const make = async (): Promise<undefined> => undefined;
    await expect(job().fetch({ key: 'k', make, signal: stop })).rejects.toThrow('stopped');
  });
});

describe('a bounded image cache', () => {
  it('loses what was unused for the longest time', async () => {
    const first = job();
    for (const key of ['a', 'b', 'c']) await fetch(first, key);
    await first.close();
    await usedDaysAgo('a', 3);
    await usedDaysAgo('b', 5);
    await usedDaysAgo('c', 1);
    await fetch(job(29), 'd');
    expect(await content()).toEqual(['c.sif', 'd.sif']);
    expect(await readFile(join(directory, 'd.sif'), 'utf8')).toBe('d         ');
  });

  it('counts looking at it as a use', async () => {
    const first = job();
    for (const key of ['a', 'b']) await fetch(first, key);
    await first.close();
    await usedDaysAgo('a', 3);
    await usedDaysAgo('b', 2);
    const second = job();
    await second.find('a');
    await second.close();
    await fetch(job(20), 'c');
    expect(await content()).toEqual(['a.sif', 'c.sif']);
  });

  it('never loses what a job uses, however small it is', async () => {
    const user = job();
    await fetch(user, 'a');
    await usedDaysAgo('a', 300);
    await fetch(job(1), 'b');
    expect(await content()).toEqual(['a.sif', 'b.sif']);
    await user.close();
    await fetch(job(1), 'c');
    expect(await content()).toEqual(['b.sif', 'c.sif']);
  });

  it('forgets the marks of jobs that were killed', async () => {
    await fetch(job(), 'a');
    const [mark = ''] = await readdir(join(directory, 'uses'));
    const before = new Date(systemClock.nowMs() - 25 * 3_600_000);
    await utimes(join(directory, 'uses', mark), before, before);
    await fetch(job(1), 'b');
    expect(await content()).toEqual(['b.sif']);
  });

  it('gives back what was about to be removed, to whoever looks for it', async () => {
    const first = job();
    await fetch(first, 'a');
    await first.close();
    await mkdir(join(directory, 'doomed'), { recursive: true });
    await rename(join(directory, 'a.sif'), join(directory, 'doomed/a.sif'));
    expect(await job().find('a')).toBe(join(directory, 'a.sif'));
    expect(puller.pulled).toEqual(['a']);
  });

  it('keeps what a job takes into use while it is being removed', async () => {
    const first = job();
    for (const key of ['a', 'b']) await fetch(first, key);
    await first.close();
    const user = job();
    // The job that looks for room has seen who uses what; now another one comes.
    const uses = new (class extends ImageUses {
      override async current(): Promise<ReadonlySet<string>> {
        const found = await super.current();
        await user.find('a');
        return found;
      }
    })({ directory: join(directory, 'uses'), clock, logger: silentLogger });
    const places = { directory, doomed: join(directory, 'doomed'), temporary: join(directory, 'tmp') };
    await evictImages({ ...places, puller, uses, maxBytes: 0, logger: silentLogger });
    expect(await content()).toEqual(['a.sif']);
    await uses.close();
  });
});
