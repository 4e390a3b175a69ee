import { createHash, randomBytes } from 'node:crypto';
import { chmod, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock } from '../base/clock.ts';
import type { CommandRunner } from '../base/command.ts';
import { InterlinkError } from '../base/errors.ts';
import { makePrivateDirectory, PRIVATE_FILE, syncDirectory } from '../base/files.ts';
import { withLock } from './image-lock.ts';

export interface ImageCacheDeps {
  /** Directory of the images; shared by the jobs of one user, also over a network file system. */
  readonly directory: string;
  readonly program: string;
  readonly noHttps: boolean;
  /** The whole environment of the pulling program, e.g. PATH, HOME and the proxies of the site. */
  readonly environment: Readonly<Record<string, string>>;
  readonly commands: CommandRunner;
  readonly clock: Clock;
}

/** A large image over a slow line. */
const PULL_TIMEOUT_MS = 2 * 3_600_000;

/** Pulled images as SIF files, each fetched once whatever the number of jobs that want it. */
export class ImageCache {
  readonly #deps: ImageCacheDeps;

  constructor(deps: ImageCacheDeps) {
    this.#deps = deps;
  }

  /** Path of the image if it is here. */
  async find(url: string): Promise<string | undefined> {
    const path = this.#path(url);
    const found = await stat(path).catch(() => undefined);
    return found?.isFile() ? path : undefined;
  }

  /**
   * Fetches the image from its registry and puts it into its place in one step; a container that runs keeps the file that it has.
   * @param mustBeNew Whether an image that somebody else has fetched while we waited for the lock is not good enough.
   * @throws Unavailable with code `ErrImagePull` and the tool's own words; `signal.reason`.
   */
  async pull(url: string, signal: AbortSignal, mustBeNew: boolean): Promise<string> {
    const { directory, clock } = this.#deps;
    await makePrivateDirectory(directory);
    const path = this.#path(url);
    return withLock(`${path}.lock`, { clock, signal }, async () => {
      if (!mustBeNew && (await this.find(url))) return path;
      const temporary = `${path}.${randomBytes(4).toString('hex')}.tmp`;
      try {
        await this.#run(url, temporary, signal);
        await chmod(temporary, PRIVATE_FILE);
        await rename(temporary, path);
        await syncDirectory(directory);
      } finally {
        await rm(temporary, { force: true });
      }
      return path;
    });
  }

  #path(url: string): string {
    return join(this.#deps.directory, `${createHash('sha256').update(url).digest('hex')}.sif`);
  }

  async #run(url: string, target: string, signal: AbortSignal): Promise<void> {
    const { directory, program, noHttps, environment, commands } = this.#deps;
    const plain = noHttps || /^docker:\/\/(localhost|127\.[\d.]+|\[::1\])(:\d+)?\//.test(url);
    const result = await commands.run(
      [program, '--silent', 'pull', '--force', ...(plain ? ['--no-https'] : []), target, url],
      {
        env: {
          ...environment,
          APPTAINER_CACHEDIR: join(directory, 'layers'),
          APPTAINER_TMPDIR: directory,
        },
        timeoutMs: PULL_TIMEOUT_MS,
        signal,
      },
    );
    if (result.exitCode === 0) return;
    const words = result.timedOut ? `no end after ${PULL_TIMEOUT_MS / 3_600_000} hours` : toolWords(result.stderr);
    throw new InterlinkError('Unavailable', words || `${program} pull ended with exit code ${result.exitCode}`, {
      code: 'ErrImagePull',
      details: { exitCode: result.exitCode },
    });
  }
}

/** What Apptainer gives as the reason: its FATAL lines, else its errors, without colours and level. */
function toolWords(stderr: string): string {
  const colour = new RegExp(`${String.fromCharCode(27)}\\[[0-9;]*m`, 'g');
  const lines = stderr
    .replaceAll(colour, '')
    .split('\n')
    .filter((line) => line.trim() !== '');
  const of = (level: string): string[] =>
    lines.filter((line) => line.startsWith(level)).map((line) => line.slice(level.length).trim());
  const fatal = of('FATAL:');
  return (fatal.length > 0 ? fatal : [...of('ERROR:'), ...lines.slice(-1)]).join('; ');
}
