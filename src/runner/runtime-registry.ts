import type { RuntimeSettings } from '../contract/job-directory.ts';
import { type ApptainerRuntimeDeps, createApptainerRuntime } from './apptainer-runtime.ts';
import type { ContainerRuntime } from './container-runtime.ts';
import { createProcessRuntime } from './process-runtime.ts';

/** The runtime that the site has chosen, for one pod. */
export function createContainerRuntime(deps: ApptainerRuntimeDeps, settings: RuntimeSettings): ContainerRuntime {
  switch (settings.name) {
    case 'apptainer':
      return createApptainerRuntime(deps, settings);
    case 'process':
      return createProcessRuntime(deps, settings);
  }
}
