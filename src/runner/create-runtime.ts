import { join } from 'node:path';
import type { Clock } from '../base/clock.ts';
import { localCommandRunner } from '../base/command.ts';
import { InterlinkError } from '../base/errors.ts';
import type { Logger } from '../base/logger.ts';
import { type JobDirectory, RUNTIME_NAMES, type RuntimeSettings } from '../contract/job-directory.ts';
import type { ContainerRuntime } from './container-runtime.ts';

/** What a runtime gets of the job. */
export interface RuntimeContext {
  readonly directory: JobDirectory;
  readonly clock: Clock;
  readonly logger: Logger;
  /** What pulls and containers may get of the job's environment: PATH, the proxies of the site, the GPUs of the job. */
  readonly environment?: Readonly<Record<string, string>>;
}

/**
 * The container runtime that the site chose; only its code is loaded.
 * @throws Invalid for a name that this version does not know
 */
export async function createRuntime(settings: RuntimeSettings, context: RuntimeContext): Promise<ContainerRuntime> {
  const { directory, clock, logger, environment } = context;
  const deps = { directory: join(directory.root, 'runtime'), clock, logger, commands: localCommandRunner };
  switch (settings.name) {
    case 'apptainer': {
      const { createApptainerRuntime } = await import('./apptainer-runtime.ts');
      return createApptainerRuntime({ ...deps, ...(environment && { environment }) }, settings);
    }
    case 'charliecloud': {
      const { createCharliecloudRuntime } = await import('./charliecloud-runtime.ts');
      return createCharliecloudRuntime({ ...deps, ...(environment && { environment }) }, settings);
    }
    case 'podman': {
      const { createPodmanRuntime } = await import('./podman-runtime.ts');
      return createPodmanRuntime({ ...deps, ...(environment && { environment }) }, settings);
    }
    case 'process': {
      const { createProcessRuntime } = await import('./process-runtime.ts');
      return createProcessRuntime(deps, settings);
    }
    default:
      throw new InterlinkError(
        'Invalid',
        `container runtime "${settings.name}" is not known; use ${RUNTIME_NAMES.slice(0, -1).join(', ')} or ${RUNTIME_NAMES.at(-1)}`,
      );
  }
}
