import { InterlinkError, messageOf } from '../base/errors.ts';
import type { NewEvent } from './pod-recorder.ts';

/** Why a container cannot be started now, in a kubelet's words. */
export interface ContainerFault {
  /** `state.waiting` while the pod waits for it to go away. */
  readonly reason: string;
  readonly message: string;
  readonly events: readonly NewEvent[];
  /** What is shown after a while until the next try: for images that cannot be fetched. */
  readonly backOff?: { readonly reason: string; readonly message: string; readonly events: readonly NewEvent[] };
}

/**
 * The waiting state and events for an error of `ContainerRuntime.resolveImage`, of the container's preparation or of `ContainerRuntime.start`.
 *
 * @see https://github.com/kubernetes/kubernetes/blob/v1.36.3/pkg/kubelet/images/image_manager.go and kuberuntime_container.go startContainer
 */
export function containerFault(error: unknown, image: string, fieldPath: string): ContainerFault {
  const message = messageOf(error);
  const reason = error instanceof InterlinkError ? error.code : 'CreateContainerError';
  const warning = (eventReason: string, text: string): NewEvent => ({
    type: 'Warning',
    reason: eventReason,
    message: text,
    fieldPath,
  });
  switch (reason) {
    case 'InvalidImageName':
      return { reason, message, events: [warning('InspectFailed', message), warning('Failed', `Error: ${reason}`)] };
    case 'ImageInspectError': {
      const text = `Failed to inspect image "${image}": ${message}`;
      return { reason, message: text, events: [warning('InspectFailed', text), warning('Failed', `Error: ${reason}`)] };
    }
    case 'ErrImageNeverPull':
      return { reason, message, events: [warning(reason, message), warning('Failed', `Error: ${reason}`)] };
    case 'ErrImagePull': {
      const backOff = `Back-off pulling image "${image}"`;
      return {
        reason,
        message,
        events: [
          warning('Failed', `Failed to pull image "${image}": ${message}`),
          warning('Failed', `Error: ${reason}`),
        ],
        backOff: {
          reason: 'ImagePullBackOff',
          message: `${backOff}: ErrImagePull: ${message}`,
          events: [
            { type: 'Normal', reason: 'BackOff', message: backOff, fieldPath },
            warning('Failed', 'Error: ImagePullBackOff'),
          ],
        },
      };
    }
    case 'CreateContainerConfigError':
      return { reason, message, events: [warning('Failed', `Error: ${message}`)] };
    default:
      return { reason: 'CreateContainerError', message, events: [warning('Failed', `Error: ${message}`)] };
  }
}
