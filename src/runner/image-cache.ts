import { createHash, randomBytes } from 'node:crypto';
import { rename } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock } from '../base/clock.ts';
import { makePrivateDirectory, syncDirectory } from '../base/files.ts';
import { withLock } from './image-lock.ts';
import type { ImagePuller } from './image-puller.ts';

export interface ImageCacheDeps {
  /** Directory of the images; shared by the jobs of one user, also over a network file system. */
  readonly directory: string;
  readonly puller: ImagePuller;
  readonly clock: Clock;
}

/** Pulled images, each fetched once whatever the number of jobs that want it. */
export class ImageCache {
  readonly #deps: ImageCacheDeps;

  constructor(deps: ImageCacheDeps) {
    this.#deps = deps;
  }

  /** Path of the image if it is here. */
  async find(url: string): Promise<string | undefined> {
    const path = this.#path(url);
    return (await this.#deps.puller.has(path)) ? path : undefined;
  }

  /**
   * Fetches the image from its registry and puts it into its place in one step; a container that runs keeps the file that it has.
   * @param mustBeNew Whether an image that somebody else has fetched while we waited for the lock is not good enough.
   * @throws as {@link ImagePuller.pull}
   */
  async pull(url: string, signal: AbortSignal, mustBeNew: boolean): Promise<string> {
    const { directory, clock, puller } = this.#deps;
    await makePrivateDirectory(directory);
    const path = this.#path(url);
    return withLock(`${path}.lock`, { clock, signal }, async () => {
      if (!mustBeNew && (await this.find(url))) return path;
      const target = `${path}.${randomBytes(4).toString('hex')}.tmp`;
      try {
        await puller.pull({ url, target, directory, signal });
        await rename(target, path);
        await syncDirectory(directory);
      } finally {
        await puller.remove(target);
      }
      return path;
    });
  }

  #path(url: string): string {
    return join(this.#deps.directory, `${createHash('sha256').update(url).digest('hex')}${this.#deps.puller.suffix}`);
  }
}
