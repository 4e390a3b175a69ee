import { chmod, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { CommandRunner } from '../base/command.ts';
import { InterlinkError } from '../base/errors.ts';
import { PRIVATE_FILE } from '../base/files.ts';
import { type ImagePuller, PULL_TIMEOUT_MS } from './image-puller.ts';

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
    async pull({ url, target, directory, signal }) {
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
      if (result.exitCode === 0) return chmod(target, PRIVATE_FILE);
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
