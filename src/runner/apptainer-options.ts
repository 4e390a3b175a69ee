import { InterlinkError } from '../base/errors.ts';
import type { Mount } from './container-runtime.ts';
import type { ImageRuntimeOptions } from './image-options.ts';

/** The options of Apptainer that have a meaning here. */
export interface ApptainerOptions extends ImageRuntimeOptions {
  /** Registries are asked by plain HTTP (`--no-https`). */
  readonly noHttps: boolean;
}

/** What every container has anyway; sites are used to writing it. */
const IMPLIED = new Set([
  ...['--contain', '-c', '--containall', '-C', '--cleanenv', '-e', '--pid', '-p', '--ipc', '-i', '--uts'],
  ...['--no-home', '--writable-tmpfs', '--fakeroot', '-f', '--userns', '-u', '--no-init', '--no-privs', '--no-umask'],
]);

/**
 * Reads the site's options for Apptainer. Containers are not started by `apptainer exec`, so only those are taken whose effect we give.
 * @throws Unsupported naming the first other one.
 */
export function parseApptainerOptions(options: readonly string[]): ApptainerOptions {
  const binds: Mount[] = [];
  let [nvidia, rocm, noHttps] = [false, false, false];
  const words = options.flatMap((word) => (/^--bind=/.test(word) ? ['--bind', word.slice('--bind='.length)] : [word]));
  for (let index = 0; index < words.length; index += 1) {
    const word = words[index] ?? '';
    if (word === '--nv') nvidia = true;
    else if (word === '--rocm') rocm = true;
    else if (word === '--no-https' || word === '--nohttps') noHttps = true;
    else if (word === '--bind' || word === '-B') {
      index += 1;
      binds.push(...(words[index] ?? '').split(',').map(parseBind));
    } else if (!IMPLIED.has(word))
      throw new InterlinkError(
        'Unsupported',
        `runtime.options: ${JSON.stringify(word)} of Apptainer is not supported; known are --nv, --rocm, --bind SOURCE[:TARGET[:ro]] and --no-https`,
        { code: 'runtime.options' },
      );
  }
  return { nvidia, rocm, binds, noHttps };
}

function parseBind(text: string): Mount {
  const [source = '', target = source, mode = 'rw', ...rest] = text.split(':');
  if (!source.startsWith('/') || !target.startsWith('/') || !/^(ro|rw)$/.test(mode) || rest.length > 0)
    throw new InterlinkError(
      'Invalid',
      `runtime.options: --bind ${JSON.stringify(text)} is not SOURCE[:TARGET[:ro]] with absolute paths`,
      { code: 'runtime.options' },
    );
  return { source, target, readOnly: mode === 'ro' };
}
