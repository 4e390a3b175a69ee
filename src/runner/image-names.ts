import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { systemCodeOf } from '../base/errors.ts';
import { makePrivateDirectory, writeFileAtomic } from '../base/files.ts';

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

  #path(name: string): string {
    return join(this.#directory, `${createHash('sha256').update(`${process.arch} ${name}`).digest('hex')}.json`);
  }
}
