import type { RuntimeSettings } from '../contract/job-directory.ts';
import type { ContainerRuntime } from './container-runtime.ts';
import { createImageRuntime, type ImageRuntimeDeps } from './image-runtime.ts';
import { parsePodmanOptions } from './podman-options.ts';
import { podmanPuller } from './podman-puller.ts';

/**
 * Containers of images that Podman pulls, from registries and archives. No container of Podman's is made.
 * @throws Unsupported for options of the site that have no effect here
 */
export function createPodmanRuntime(deps: ImageRuntimeDeps, settings: RuntimeSettings): ContainerRuntime {
  const options = parsePodmanOptions(settings.options ?? []);
  return createImageRuntime(deps, settings, {
    name: 'podman',
    program: 'podman',
    package: 'podman',
    options,
    puller: (tools) => podmanPuller({ ...tools, options: options.pull }),
  });
}
