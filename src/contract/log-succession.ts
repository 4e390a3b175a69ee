import { type FSWatcher, watch } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { dirname } from 'node:path';
import { systemCodeOf } from '../base/errors.ts';
import { inodeOf } from './inode-of.ts';
import { LOG_FILES } from './job-directory.ts';

/** Files that are kept for one slow reader after rotation has removed them: 640 MiB with ours. Beyond that it loses the oldest, as without this. */
const HELD_FILES = 64;

/**
 * The files of a rotated log after the one that is being read. While the log is followed each is opened as soon as the kernel tells that it is there (not on
 * network file systems), so that a reader that is slower than the writer misses nothing although rotation removes what it has not read yet.
 */
export class LogSuccession implements AsyncDisposable {
  readonly #path: string;
  /** Inode of the newest file that has been opened; it is open or being read, so its number cannot be another file's. */
  #newest: number;
  readonly #ahead: FileHandle[] = [];
  #turn: Promise<void> = Promise.resolve();
  #watcher: FSWatcher | undefined;
  #closed = false;

  private constructor(path: string, newest: number) {
    this.#path = path;
    this.#newest = newest;
  }

  /** Begins after `handle`, a file of the log whose newest file is `path`. */
  static async after(
    handle: FileHandle,
    path: string,
    { isFollowed }: { isFollowed: boolean },
  ): Promise<LogSuccession> {
    const succession = new LogSuccession(path, (await handle.stat()).ino);
    if (isFollowed) succession.#watch();
    return succession;
  }

  /** The file written after the last one, which the caller closes; undefined while that is still the newest. */
  async next(): Promise<FileHandle | undefined> {
    if (this.#ahead.length === 0) await this.#catchUp();
    return this.#ahead.shift();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    this.#watcher?.close();
    await this.#turn;
    await Promise.all(this.#ahead.splice(0).map((handle) => handle.close()));
  }

  #watch(): void {
    // Whoever reads on meets the same error.
    const look = (): void => void this.#catchUp().catch(() => {});
    try {
      this.#watcher = watch(dirname(this.#path), { persistent: false }, (kind) => {
        if (kind === 'rename') look();
      });
      // Out of inotify instances, or the directory went away: the reader looks by itself when it has read a file.
      this.#watcher.on('error', () => this.#watcher?.close());
    } catch {
      this.#watcher = undefined;
    }
    look();
  }

  #catchUp(): Promise<void> {
    const done = this.#turn.then(() => this.#openNewer());
    this.#turn = done.catch(() => {});
    return done;
  }

  async #openNewer(): Promise<void> {
    if (this.#closed || this.#ahead.length >= HELD_FILES || (await inodeOf(this.#path)) === this.#newest) return;
    const found = new Map<number, FileHandle>();
    // Newest first: a file that is renamed meanwhile is met twice, and none is passed over.
    for (let index = 0; index < LOG_FILES; index += 1) {
      const handle = await openIfThere(index === 0 ? this.#path : `${this.#path}.${index}`);
      if (handle === undefined) continue;
      const { ino } = await handle.stat();
      if (ino !== this.#newest && !found.has(ino)) {
        found.set(ino, handle);
        continue;
      }
      await handle.close();
      if (ino === this.#newest) break;
    }
    for (const [ino, handle] of [...found].reverse()) {
      this.#ahead.push(handle);
      this.#newest = ino;
    }
  }
}

async function openIfThere(path: string): Promise<FileHandle | undefined> {
  try {
    return await open(path, 'r');
  } catch (error) {
    if (systemCodeOf(error) === 'ENOENT') return undefined;
    throw error;
  }
}
