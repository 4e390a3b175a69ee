import { randomBytes } from 'node:crypto';
import { open, readdir, rename, stat, utimes } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock } from '../base/clock.ts';
import { systemCodeOf } from '../base/errors.ts';
import { makePrivateDirectory, syncDirectory } from '../base/files.ts';
import type { Logger } from '../base/logger.ts';
import { evictImages, takeBack } from './image-eviction.ts';
import { tryLock, withLock } from './image-lock.ts';
import type { ImagePuller } from './image-puller.ts';
import { ImageUses } from './image-uses.ts';
import { removeTree } from './remove-tree.ts';

export interface ImageCacheDeps {
  /** Directory of the images; shared by the jobs of one user, also over a network file system. */
  readonly directory: string;
  /** Bytes that it may hold beyond what is in use; no bound when absent. */
  readonly maxBytes?: number | undefined;
  readonly puller: ImagePuller;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** Where one fetch puts what it makes. */
export interface FetchPlace {
  readonly directory: string;
  readonly work: string;
  readonly target: string;
}

/** Content that is wanted, and how it is made. */
export interface FetchRequest {
  /** Name of the content, by which it is found again: two that differ never have the same. One job at a time fetches it. */
  readonly key: string;
  /** Makes the file `target`, whole. The content gets the name that it returns, else `key`. */
  readonly make: (place: FetchPlace) => Promise<string | undefined>;
  /** Name of content that will do instead and was made meanwhile; {@link key} unless given. */
  readonly look?: () => Promise<string | undefined>;
  readonly signal: AbortSignal;
}

/** An image that is here now. */
export interface FetchedImage {
  readonly key: string;
  readonly path: string;
  readonly sizeBytes: number;
  /** Time for which another job had the image in hand. */
  readonly waitedMs: number;
  /** Whether it was made by this call. */
  readonly isNew: boolean;
}

/**
 * Pulled images by their content, each fetched once whatever the number of jobs that want it at the same time. What it has handed out stays until {@link close}; what
 * nobody uses is removed, the longest unused first, when there is more than the cache may hold.
 */
export class ImageCache {
  readonly #deps: ImageCacheDeps;
  readonly #uses: ImageUses;
  #ready: Promise<void> | undefined;

  constructor(deps: ImageCacheDeps) {
    this.#deps = deps;
    const { directory, clock, logger } = deps;
    this.#uses = new ImageUses({ directory: join(directory, 'uses'), clock, logger });
  }

  /** Path of the content if it is here; it stays until {@link close}. */
  async find(key: string): Promise<string | undefined> {
    const { directory, puller, clock } = this.#deps;
    await this.#prepare();
    const file = this.#file(key);
    const path = join(directory, file);
    await this.#uses.mark(file);
    const found = (await puller.has(path)) || ((await takeBack(this.#places, file)) && (await puller.has(path)));
    if (!found) {
      await this.#uses.unmark(file);
      return undefined;
    }
    const now = new Date(clock.nowMs());
    await utimes(path, now, now);
    return path;
  }

  /**
   * The content, made if it is not here. It appears in one step, when it is whole and durable.
   * @throws what `make` throws; `signal.reason`
   */
  async fetch({ key: wanted, make, look, signal }: FetchRequest): Promise<FetchedImage> {
    const { directory, puller, clock } = this.#deps;
    await this.#prepare();
    const begunMs = clock.monotonicMs();
    const lookHere = async (): Promise<Omit<FetchedImage, 'sizeBytes'> | undefined> => {
      const key = look ? await look() : wanted;
      const path = key === undefined ? undefined : await this.find(key);
      if (key === undefined || path === undefined) return undefined;
      return { key, path, waitedMs: clock.monotonicMs() - begunMs, isNew: false };
    };
    const fetched = await withLock(
      join(directory, 'locks', wanted),
      {
        clock,
        signal,
        shortcut: async () => ((await this.has(wanted)) ? lookHere() : undefined),
      },
      async () => {
        const found = await lookHere();
        if (found) return found;
        const waitedMs = clock.monotonicMs() - begunMs;
        return { ...(await this.#make(wanted, make)), waitedMs, isNew: true };
      },
    );
    const sizeBytes = (await puller.sizeOf?.(fetched.path)) ?? (await stat(fetched.path)).size;
    if (fetched.isNew) await this.#evict();
    return { ...fetched, sizeBytes };
  }

  /** With the lock held. */
  async #make(wanted: string, make: FetchRequest['make']): Promise<Pick<FetchedImage, 'key' | 'path'>> {
    const { directory, puller } = this.#deps;
    await this.#removeLeftOvers(wanted);
    const work = join(this.#places.temporary, `${wanted}.${randomBytes(4).toString('hex')}`);
    await makePrivateDirectory(work);
    try {
      const target = join(work, `image${puller.suffix}`);
      const key = (await make({ directory, work, target })) ?? wanted;
      await syncFile(target);
      await this.#uses.mark(this.#file(key));
      const path = join(directory, this.#file(key));
      await rename(target, path);
      await syncDirectory(directory);
      return { key, path };
    } finally {
      await removeTree(work);
    }
  }

  /** Whether the content is here at this moment; it may not be in the next. */
  has(key: string): Promise<boolean> {
    const { directory, puller } = this.#deps;
    return puller.has(join(directory, this.#file(key)));
  }

  /** Lets go of what was handed out. */
  async close(): Promise<void> {
    await this.#uses.close();
  }

  get #places(): { readonly directory: string; readonly doomed: string; readonly temporary: string } {
    const { directory } = this.#deps;
    return { directory, doomed: join(directory, 'doomed'), temporary: join(directory, 'tmp') };
  }

  #file(key: string): string {
    return `${key}${this.#deps.puller.suffix}`;
  }

  #prepare(): Promise<void> {
    const { directory } = this.#deps;
    this.#ready ??= (async () => {
      await makePrivateDirectory(directory);
      for (const name of ['uses', 'locks', 'doomed', 'tmp']) await makePrivateDirectory(join(directory, name));
    })().catch((error: unknown) => {
      this.#ready = undefined;
      throw error;
    });
    return this.#ready;
  }

  /** A runner that was killed in the middle of a pull could not do it; the lock says that nobody else is at it. */
  async #removeLeftOvers(key: string): Promise<void> {
    const { temporary } = this.#places;
    for (const name of await readdir(temporary))
      if (name.startsWith(`${key}.`)) await removeTree(join(temporary, name));
  }

  /** What cannot be removed now is tried again after the next pull; the pod has its image. */
  async #evict(): Promise<void> {
    const { directory, maxBytes = Number.POSITIVE_INFINITY, puller, clock, logger } = this.#deps;
    const deps = { ...this.#places, puller, uses: this.#uses, maxBytes, logger };
    try {
      await tryLock(join(directory, 'locks', 'eviction'), clock, () => evictImages(deps));
    } catch (error) {
      logger.warn('the image cache cannot be kept to its size', { path: directory, err: error });
    }
  }
}

async function syncFile(path: string): Promise<void> {
  const file = await open(path, 'r');
  try {
    await file.sync();
  } catch (error) {
    if (systemCodeOf(error) !== 'EINVAL') throw error;
  } finally {
    await file.close();
  }
}
