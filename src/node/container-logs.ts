import { InterlinkError, isKind } from '../base/errors.ts';
import { podRefOf } from '../contract/pod-ref.ts';
import type { CallOptions, LogOptions, Sidecar } from '../contract/sidecar.ts';
import type { ContainerStatus, Pod } from '../kube/types.ts';

/**
 * The log of a container, asked of the site. What the site cannot give because the container has not started yet is said in a kubelet's words.
 *
 * @throws NotFound for a container that the pod does not have, Invalid (400) when there is no log yet or no previous container.
 */
export async function containerLogs(
  sidecar: Sidecar,
  pod: Pod,
  container: string,
  options: LogOptions,
  call: CallOptions,
): Promise<AsyncIterable<Uint8Array>> {
  const { name = '' } = pod.metadata ?? {};
  const { containers = [], initContainers = [], ephemeralContainers = [] } = pod.spec ?? {};
  if (![...containers, ...initContainers, ...ephemeralContainers].some((one) => one.name === container))
    throw new InterlinkError('NotFound', `container "${container}" not found in pod "${name}"`);
  try {
    return await sidecar.logs({ ...podRefOf(pod), container, options }, call);
  } catch (error) {
    // The site may know more than the status that has been written, so it is asked first; what it does not know the status explains.
    if (!isKind(error, 'NotFound', 'Invalid')) throw error;
    const status = [...(pod.status?.containerStatuses ?? []), ...(pod.status?.initContainerStatuses ?? [])].find(
      (one) => one.name === container,
    );
    const why = explain(`container "${container}" in pod "${name}"`, status, options.previous ?? false);
    if (why === undefined) throw error;
    throw new InterlinkError('Invalid', why, { code: 'kubelet.no-log', cause: error });
  }
}

/** Why a kubelet has no log of a container in this state; undefined when it would have one. */
function explain(container: string, status: ContainerStatus | undefined, previous: boolean): string | undefined {
  if (previous) {
    if (status?.lastState?.terminated?.containerID) return undefined;
    return `previous terminated ${container} not found`;
  }
  if (status === undefined) return `${container} is not available`;
  const { running, terminated, waiting } = status.state ?? {};
  if (running || terminated?.containerID || status.lastState?.terminated?.containerID) return undefined;
  if (terminated || status.lastState?.terminated) return `${container} is terminated`;
  switch (waiting?.reason) {
    case undefined:
      return `${container} is waiting to start - no logs yet`;
    case 'ErrImagePull':
      return `${container} is waiting to start: image can't be pulled`;
    case 'ImagePullBackOff':
      return `${container} is waiting to start: trying and failing to pull image`;
    default:
      return `${container} is waiting to start: ${waiting?.reason}`;
  }
}
