import { type ImageRuntimeOptions, parseImageOptions } from './image-options.ts';

/**
 * Reads the site's options for Charliecloud, those of `ch-run`, `ch-fromhost` and `ch-image`.
 * @throws as {@link parseImageOptions}
 */
export function parseCharliecloudOptions(options: readonly string[]): ImageRuntimeOptions {
  return parseImageOptions(options, {
    tool: 'Charliecloud',
    nvidia: ['--nvidia'],
    rocm: ['--rocm'],
    bind: ['--bind', '-b'],
    pull: ['--tls-no-verify'],
    implied: ['--private-tmp', '-t', '--no-home', '--no-passwd', '--write-fake', '-W'],
    known: '--nvidia, --rocm, --bind SOURCE[:TARGET[:ro]] and --tls-no-verify',
  });
}
