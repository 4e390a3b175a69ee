import { readFile, stat } from 'node:fs/promises';
import type { Clock } from '../base/clock.ts';
import { systemCodeOf } from '../base/errors.ts';
import type { Logger } from '../base/logger.ts';
import { Wakeable } from '../base/wakeable.ts';
import type { JobDirectory, VolumeContents } from '../contract/job-directory.ts';

export interface JobContentsDeps {
  readonly directory: JobDirectory;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** How often the file is looked at when nobody tells: one `stat`, which costs nothing that could be measured. */
const POLL_MS = 3_000;
/** How often, and how long, a revision is looked for that the sidecar has told of: a network file system may show the file before it late. */
const SOON_MS = 500;
const SOON_TRIES = 60;

const NONE: VolumeContents = { version: 1, revision: 0, volumes: {} };

/** The contents that the sidecar has put into the job directory since the pod was taken, followed for as long as the pod lives. */
export class JobContents {
  readonly #deps: JobContentsDeps;
  readonly #wakeable: Wakeable;
  /** The revision that the sidecar has told of, and how many looks for it are left. */
  #announced = { revision: 0, tries: 0 };

  constructor(deps: JobContentsDeps) {
    this.#deps = deps;
    this.#wakeable = new Wakeable(deps.clock);
  }

  /** As they are now. @throws Error when the file is there and cannot be read */
  async read(): Promise<VolumeContents> {
    try {
      return JSON.parse(await readFile(this.#deps.directory.contents, 'utf8'));
    } catch (error) {
      if (systemCodeOf(error) === 'ENOENT') return NONE;
      throw error;
    }
  }

  /** The sidecar tells of this revision, or that there may be one that was missed while it could not tell. */
  announce(revision?: number): void {
    if (revision !== undefined && revision > this.#announced.revision)
      this.#announced = { revision, tries: SOON_TRIES };
    this.#wakeable.wake();
  }

  /**
   * Calls `apply` with each revision after `revision` until the signal aborts. What `apply` could not do (false) is given to it again at the next look; what it
   * throws is logged, and the same.
   */
  async follow(
    revision: number,
    apply: (contents: VolumeContents) => Promise<boolean>,
    signal: AbortSignal,
  ): Promise<void> {
    let done = revision;
    /** Identity of the file whose content has been applied, or is older than what was told. */
    let seen = '';
    let isFailing = false;
    while (!signal.aborted) {
      try {
        const now = await this.#identity();
        if (now !== seen || done < this.#announced.revision) {
          this.#announced.tries -= 1;
          const contents = await this.read();
          if (contents.revision > done && (await apply(contents))) done = contents.revision;
          if (contents.revision <= done) seen = now;
        }
        isFailing = false;
      } catch (error) {
        if (!isFailing) this.#deps.logger.warn('contents of volumes cannot be read, trying on', { err: error });
        isFailing = true;
      }
      const isAwaited = done < this.#announced.revision && this.#announced.tries > 0;
      await this.#wakeable.sleep(isAwaited ? SOON_MS : POLL_MS, signal);
    }
  }

  async #identity(): Promise<string> {
    try {
      const { ino, mtimeMs, size } = await stat(this.#deps.directory.contents);
      return `${ino} ${mtimeMs} ${size}`;
    } catch (error) {
      if (systemCodeOf(error) === 'ENOENT') return '';
      throw error;
    }
  }
}
