import type { PodStatus } from '../../contract/pod-status.ts';

/** A kubelet waits for somebody to mend these; a person at a terminal wants to hear of them now. */
const REASONS = new Set([
  'CreateContainerConfigError',
  'CreateContainerError',
  'ErrImageNeverPull',
  'ErrImagePull',
  'ImageInspectError',
  'ImagePullBackOff',
  'InvalidImageName',
]);

/** One sentence when a container of the pod waits for something that will not come by itself, else undefined. */
export function cannotStart(status: PodStatus): string | undefined {
  for (const { name, state } of [...status.initContainers, ...status.containers]) {
    const { reason, message } = state?.waiting ?? {};
    if (reason !== undefined && REASONS.has(reason))
      return `container ${name} cannot start: ${reason}${message ? `: ${message}` : ''}`;
  }
  return undefined;
}
