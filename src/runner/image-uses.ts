import { randomBytes } from 'node:crypto';
import { open, readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock } from '../base/clock.ts';
import { systemCodeOf } from '../base/errors.ts';
import { PRIVATE_FILE } from '../base/files.ts';
import type { Logger } from '../base/logger.ts';

export interface ImageUsesDeps {
  /** Shared by all jobs; made by whoever makes the cache. */
  readonly directory: string;
  readonly clock: Clock;
  readonly logger: Logger;
}

const REFRESH_MS = 10 * 60_000;
/** Marks of runners that were killed count for no longer; a job that stands still for a day may lose its image. */
const STALE_MS = 24 * 3_600_000;

/** Which images are in use by whom: one empty file for each image and job, renewed every ten minutes. */
export class ImageUses {
  readonly #deps: ImageUsesDeps;
  readonly #owner = randomBytes(8).toString('hex');
  readonly #marked = new Set<string>();
  readonly #closing = new AbortController();
  #refreshing: Promise<void> | undefined;

  constructor(deps: ImageUsesDeps) {
    this.#deps = deps;
  }

  /** Keeps the file from being removed until {@link close}. Before it is looked for, so that it is either kept or not found. */
  async mark(file: string): Promise<void> {
    await touch(this.#path(file));
    this.#marked.add(file);
    this.#refreshing ??= this.#refresh();
  }

  async unmark(file: string): Promise<void> {
    this.#marked.delete(file);
    await rm(this.#path(file), { force: true });
  }

  /** Files that are in use by anybody; what dead jobs have left is removed. */
  async current(): Promise<ReadonlySet<string>> {
    const { directory } = this.#deps;
    const nowMs = await this.nowMs();
    const files = new Set<string>();
    for (const name of await readdir(directory)) {
      const path = join(directory, name);
      const found = await stat(path).catch((error: unknown) => {
        if (systemCodeOf(error) !== 'ENOENT') throw error;
        return undefined;
      });
      if (found && nowMs - found.mtimeMs > STALE_MS) await rm(path, { force: true });
      else if (found) files.add(name.slice(0, name.lastIndexOf('~')));
    }
    return files;
  }

  /** The time as the file server has it: clocks of machines differ. */
  async nowMs(): Promise<number> {
    const probe = this.#path('');
    const nowMs = await touch(probe);
    await rm(probe, { force: true });
    return nowMs;
  }

  async close(): Promise<void> {
    this.#closing.abort();
    await this.#refreshing;
    for (const file of [...this.#marked]) await this.unmark(file);
  }

  #path(file: string): string {
    return join(this.#deps.directory, `${file}~${this.#owner}`);
  }

  async #refresh(): Promise<void> {
    const { clock, logger } = this.#deps;
    const { signal } = this.#closing;
    while (!signal.aborted)
      try {
        await clock.sleep(REFRESH_MS, { signal });
        for (const file of this.#marked) await touch(this.#path(file));
      } catch (error) {
        if (!signal.aborted) logger.warn('an image cannot be marked as in use', { err: error });
      }
  }
}

/** Writes the file and gives the time at which the file server says that it did. */
async function touch(path: string): Promise<number> {
  const file = await open(path, 'w', PRIVATE_FILE);
  try {
    await file.writeFile('used');
    return (await file.stat()).mtimeMs;
  } finally {
    await file.close();
  }
}
