import type { RuntimeSettings } from '../contract/job-directory.ts';
import { parseApptainerOptions } from './apptainer-options.ts';
import { apptainerPuller } from './apptainer-puller.ts';
import type { ContainerRuntime } from './container-runtime.ts';
import { createImageRuntime, type ImageRuntimeDeps } from './image-runtime.ts';

/**
 * Containers of images as Apptainer knows them: SIF files, unpacked directories, registries (pulled by `apptainer pull`).
 * @throws Unsupported for options of the site that have no effect here
 */
export function createApptainerRuntime(deps: ImageRuntimeDeps, settings: RuntimeSettings): ContainerRuntime {
  const options = parseApptainerOptions(settings.options ?? []);
  const noHttps = options.pull.length > 0;
  return createImageRuntime(deps, settings, {
    name: 'apptainer',
    program: 'apptainer',
    package: 'apptainer',
    options,
    registries: { plain: noHttps ? 'all' : 'loopback', isInsecure: false },
    puller: (tools) => apptainerPuller({ ...tools, noHttps }),
  });
}
