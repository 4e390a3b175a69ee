import { type ImageRuntimeOptions, parseImageOptions } from './image-options.ts';

/**
 * Reads the site's options for Apptainer.
 * @throws as {@link parseImageOptions}
 */
export function parseApptainerOptions(options: readonly string[]): ImageRuntimeOptions {
  return parseImageOptions(options, {
    tool: 'Apptainer',
    nvidia: ['--nv'],
    rocm: ['--rocm'],
    bind: ['--bind', '-B'],
    pull: ['--no-https', '--nohttps'],
    implied: [
      ...['--contain', '-c', '--containall', '-C', '--cleanenv', '-e', '--pid', '-p', '--ipc', '-i', '--uts'],
      ...[
        '--no-home',
        '--writable-tmpfs',
        '--fakeroot',
        '-f',
        '--userns',
        '-u',
        '--no-init',
        '--no-privs',
        '--no-umask',
      ],
    ],
    known: '--nv, --rocm, --bind SOURCE[:TARGET[:ro]] and --no-https',
  });
}
