import type { RuntimeSettings } from '../contract/job-directory.ts';
import { parseCharliecloudOptions } from './charliecloud-options.ts';
import { charliecloudPuller } from './charliecloud-puller.ts';
import type { ContainerRuntime } from './container-runtime.ts';
import { createImageRuntime, type ImageRuntimeDeps } from './image-runtime.ts';

/**
 * Containers of images as Charliecloud knows them: directories and squashfs files that it has unpacked, registries (pulled by `ch-image`).
 * @throws Unsupported for options of the site that have no effect here
 */
export function createCharliecloudRuntime(deps: ImageRuntimeDeps, settings: RuntimeSettings): ContainerRuntime {
  const options = parseCharliecloudOptions(settings.options ?? []);
  return createImageRuntime(deps, settings, {
    name: 'charliecloud',
    program: 'ch-image',
    package: 'charliecloud',
    options,
    registries: { plain: 'none', isInsecure: options.pull.length > 0 },
    puller: (tools) => charliecloudPuller({ ...tools, options: options.pull }),
  });
}
