import { type ImageRuntimeOptions, parseImageOptions } from './image-options.ts';

/**
 * Reads the site's options for Podman, those of `podman run` and `podman pull`.
 * @throws as {@link parseImageOptions}
 */
export function parsePodmanOptions(options: readonly string[]): ImageRuntimeOptions {
  return parseImageOptions(options, {
    tool: 'Podman',
    nvidia: ['--gpus=all', '--device=nvidia.com/gpu=all'],
    rocm: ['--device=/dev/kfd', '--device=/dev/dri', '--device=amd.com/gpu=all'],
    bind: ['--volume', '-v'],
    pull: ['--tls-verify=false'],
    implied: ['--rm', '--net=host', '--network=host', '--cgroups=disabled', '--init=false', '--userns=host'],
    known:
      '--gpus=all, --device=nvidia.com/gpu=all, --device=/dev/kfd, --volume SOURCE[:TARGET[:ro]] and --tls-verify=false',
  });
}
