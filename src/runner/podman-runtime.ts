import type { RuntimeSettings } from '../contract/job-directory.ts';
import type { ContainerRuntime } from './container-runtime.ts';
import { createImageRuntime, type ImageRuntimeDeps } from './image-runtime.ts';
import { currentUser } from './namespace-user.ts';
import { runPodman } from './podman-command.ts';
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
    registries: { plain: 'loopback', isInsecure: options.pull.length > 0 },
    // Its files belong to the pod's users, which no shared file system allows and which the user cannot remove with the job's directory.
    imageCache: `/var/tmp/interlink-${currentUser().uid}/images`,
    puller: ({ sandbox, ...tools }) =>
      podmanPuller({
        options: options.pull,
        clock: tools.clock,
        podman: async (args, call) => runPodman(args, { ...tools, ...call, sandbox: await sandbox() }),
      }),
  });
}
