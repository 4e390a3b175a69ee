import { readFile, rm, stat, writeFile } from 'node:fs/promises';
import { InterlinkError } from '../../src/base/errors.ts';
import type { ImagePull, ImagePuller } from '../../src/runner/image-puller.ts';

/** Makes files of the URLs that it is asked for. */
export class FakePuller implements ImagePuller {
  readonly suffix = '.sif';
  /** URLs in the order in which they were asked for. */
  readonly pulled: string[] = [];
  /** What stood in the file with the login, and its mode. */
  readonly logins: { readonly content: string; readonly mode: number; readonly path: string }[] = [];
  /** Called in the middle of a pull, when half of the file is there. */
  midway: (request: ImagePull) => Promise<void> | void = () => {};
  failure: string | undefined;
  /** Size of what it makes. */
  bytes = 10;

  async pull(request: ImagePull): Promise<void> {
    const { url, target, loginFile } = request;
    this.pulled.push(url);
    if (loginFile !== undefined) {
      const { mode } = await stat(loginFile);
      this.logins.push({ content: await readFile(loginFile, 'utf8'), mode: mode & 0o777, path: loginFile });
    }
    await writeFile(target, 'half', { mode: 0o600 });
    await this.midway(request);
    if (this.failure !== undefined) throw new InterlinkError('Unavailable', this.failure, { code: 'ErrImagePull' });
    await writeFile(target, url.padEnd(this.bytes), { mode: 0o600 });
  }

  async has(path: string): Promise<boolean> {
    return stat(path).then(
      () => true,
      () => false,
    );
  }

  async remove(path: string): Promise<void> {
    await rm(path, { force: true });
  }
}
