import { createHash } from 'node:crypto';
import { readdir, readFile, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { systemCodeOf } from '../base/errors.ts';
import { makePrivateDirectory, writeFileAtomic } from '../base/files.ts';

/** Clocks of machines differ by less. */
const KEPT_MS = 24 * 3_600_000;

/** What was found behind the name of an image when it was last asked for. */
export interface NamedImage {
  readonly name: string;
  /** Of its content in the cache. */
  readonly key: string;
  /** `sha256:…`, as a status shows it; absent where there is none. */
  readonly digest?: string;
  /** Whether the registry gave it to somebody without a login. */
  readonly isPublic: boolean;
  /** Hashes of the logins that have got it. */
  readonly logins: readonly string[];
}

/** What is known of names of images, one file each, shared by the jobs of one user. */
export class ImageNames {
  readonly #directory: string;

  constructor(directory: string) {
    this.#directory = directory;
  }

  /** What is known of the name; a file that makes no sense is as good as none. */
  async read(name: string): Promise<NamedImage | undefined> {
    try {
      const found = JSON.parse(await readFile(this.#path(name), 'utf8')) as NamedImage;
      return found.name === name && /^[\w.-]+$/.test(found.key) && Array.isArray(found.logins) ? found : undefined;
    } catch (error) {
      if (systemCodeOf(error) === 'ENOENT' || error instanceof SyntaxError) return undefined;
      throw error;
    }
  }

  /** Writes what is known now; of two at the same time the later one counts. */
  async write(image: NamedImage): Promise<void> {
    await makePrivateDirectory(this.#directory);
    await writeFileAtomic(this.#path(image.name), JSON.stringify(image));
  }

  /** Forgets names that nobody has asked a registry for since a day and whose content is not here any more. */
  async prune(nowMs: number, isHere: (key: string) => Promise<boolean>): Promise<void> {
    for (const file of await readdir(this.#directory)) {
      const path = join(this.#directory, file);
      try {
        if (nowMs - (await stat(path)).mtimeMs < KEPT_MS) continue;
        const { key } = JSON.parse(await readFile(path, 'utf8')) as NamedImage;
        if (!(await isHere(key))) await rm(path, { force: true });
      } catch (error) {
        if (error instanceof SyntaxError) await rm(path, { force: true });
        // Another job may do the same.
        else if (systemCodeOf(error) !== 'ENOENT') throw error;
      }
    }
  }

  #path(name: string): string {
    return join(this.#directory, `${createHash('sha256').update(`${process.arch} ${name}`).digest('hex')}.json`);
  }
}
