import { readdir, rename, stat, statfs } from 'node:fs/promises';
import { join } from 'node:path';
import { systemCodeOf } from '../base/errors.ts';
import type { Logger } from '../base/logger.ts';
import type { ImagePuller } from './image-puller.ts';
import type { ImageUses } from './image-uses.ts';
import { removeTree } from './remove-tree.ts';

export interface EvictionDeps {
  /** The cache. */
  readonly directory: string;
  /** Where images lie that are to be removed; whoever wants one after all takes it back. */
  readonly doomed: string;
  /** Where pulls work. */
  readonly temporary: string;
  readonly puller: ImagePuller;
  readonly uses: ImageUses;
  readonly maxBytes: number;
  readonly logger: Logger;
}

/** File systems on which each process sees at once what another one did. */
const COHERENT = new Set([0xef53, 0x58465342, 0x9123683e, 0x01021994, 0x794c7630, 0x2fc12fc1, 0x0bd00bd0]);
/** Directories and attributes of a network file system may be a minute old in the eyes of another machine. */
const SETTLE_MS = 2 * 60_000;
/** No pull lasts so long, so what lies here for longer is of a runner that was killed. */
const LEFT_OVER_MS = 24 * 3_600_000;

interface CachedFile {
  readonly name: string;
  readonly path: string;
  readonly bytes: number;
  readonly usedMs: number;
}

/**
 * Removes images until the cache is no larger than it may be: those first whose last use is the longest ago, and none that a job uses. An image first goes out of
 * sight and is removed when every machine must have seen that, unless a job has marked it by then. One process at a time.
 */
export async function evictImages(deps: EvictionDeps): Promise<void> {
  const { directory, doomed, puller, uses, maxBytes, logger } = deps;
  const kept = await filesIn(directory, deps);
  const inUse = await uses.current();
  let bytes = kept.reduce((sum, file) => sum + file.bytes, 0);
  for (const file of kept.toSorted((a, b) => a.usedMs - b.usedMs)) {
    if (bytes <= maxBytes) break;
    if (inUse.has(file.name)) continue;
    await moved(file.path, join(doomed, file.name));
    bytes -= file.bytes;
  }
  const settleMs = COHERENT.has((await statfs(directory)).type) ? 0 : SETTLE_MS;
  const marked = await uses.current();
  for (const { name, path } of await filesIn(doomed, deps)) {
    if (marked.has(name)) await moved(path, join(directory, name));
    else if (settleMs === 0 || (await ageMs(path, deps)) > settleMs) {
      await puller.remove(path, directory);
      logger.info('an image was removed from the cache', { file: name });
    }
  }
  for (const name of await readdir(deps.temporary)) {
    const path = join(deps.temporary, name);
    if ((await ageMs(path, deps)) > LEFT_OVER_MS) await removeTree(path);
  }
}

/** Puts an image that is about to be removed back into its place; whether it was there. */
export function takeBack(
  { directory, doomed }: Pick<EvictionDeps, 'directory' | 'doomed'>,
  name: string,
): Promise<boolean> {
  return moved(join(doomed, name), join(directory, name));
}

async function filesIn(directory: string, { puller }: EvictionDeps): Promise<readonly CachedFile[]> {
  const names = (await readdir(directory)).filter((name) => name.endsWith(puller.suffix));
  const files = await Promise.all(
    names.map(async (name): Promise<CachedFile | undefined> => {
      const path = join(directory, name);
      try {
        const { size, mtimeMs } = await stat(path);
        return { name, path, bytes: (await puller.sizeOf?.(path)) ?? size, usedMs: mtimeMs };
      } catch (error) {
        if (systemCodeOf(error) !== 'ENOENT') throw error;
        return undefined;
      }
    }),
  );
  return files.filter((file) => file !== undefined);
}

/** Time since the entry was last moved or changed, by the clock of the file server; 0 when it has gone. */
async function ageMs(path: string, { uses }: EvictionDeps): Promise<number> {
  try {
    const { ctimeMs } = await stat(path);
    return (await uses.nowMs()) - ctimeMs;
  } catch (error) {
    if (systemCodeOf(error) !== 'ENOENT') throw error;
    return 0;
  }
}

async function moved(from: string, to: string): Promise<boolean> {
  try {
    await rename(from, to);
    return true;
  } catch (error) {
    if (systemCodeOf(error) !== 'ENOENT') throw error;
    return false;
  }
}
