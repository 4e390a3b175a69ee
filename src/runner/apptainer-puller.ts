import { chmod, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { CommandRunner } from '../base/command.ts';
import { InterlinkError } from '../base/errors.ts';
import { PRIVATE_FILE } from '../base/files.ts';
import { type ImagePuller, PULL_TIMEOUT_MS } from './image-puller.ts';
import { readSif } from './image-sif.ts';
import { isLoopbackRegistry } from './loopback-registry.ts';

export interface ApptainerPullerDeps {
  readonly program: string;
  readonly noHttps: boolean;
  /** The whole environment of the program, e.g. PATH, HOME and the proxies of the site. */
  readonly environment: Readonly<Record<string, string>>;
  readonly commands: CommandRunner;
}

/** Images as SIF files, made by `apptainer pull`. */
export function apptainerPuller({ program, noHttps, environment, commands }: ApptainerPullerDeps): ImagePuller {
  return {
    suffix: '.sif',
    async pull({ url, target, work, loginFile, signal }) {
      const options = [
        // Its own cache has no bound, and was found torn on network file systems. Layers that images share are fetched for each of them.
        '--disable-cache',
        ...(noHttps || isLoopbackRegistry(url) ? ['--no-https'] : []),
        ...(loginFile === undefined ? [] : ['--authfile', loginFile]),
      ];
      const result = await commands.run([program, '--silent', 'pull', '--force', ...options, target, url], {
        env: { ...environment, APPTAINER_CACHEDIR: join(work, 'cache'), APPTAINER_TMPDIR: work },
        timeoutMs: PULL_TIMEOUT_MS,
        signal,
      });
      if (result.exitCode === 0) {
        await chmod(target, PRIVATE_FILE);
        await readSif(target);
        return;
      }
      const words = result.timedOut ? `no end after ${PULL_TIMEOUT_MS / 3_600_000} hours` : toolWords(result.stderr);
      throw new InterlinkError('Unavailable', words || `${program} pull ended with exit code ${result.exitCode}`, {
        code: 'ErrImagePull',
        details: { exitCode: result.exitCode },
      });
    },
    has: async (path) => (await stat(path).catch(() => undefined))?.isFile() ?? false,
    remove: (path) => rm(path, { force: true }),
  };
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
