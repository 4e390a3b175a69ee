import type { Container, ContainerState, ContainerStatus, Pod } from './types.ts';

/** Phases that we write; `Unknown` is never one of them. */
export type PodPhase = 'Pending' | 'Running' | 'Succeeded' | 'Failed';

/** Whether nothing of the pod runs any more and its phase is final. */
export function isTerminalPhase(phase: string | undefined): phase is 'Succeeded' | 'Failed' {
  return phase === 'Succeeded' || phase === 'Failed';
}

/** Whether an init container is a sidecar: it runs along with the pod. */
export function isSidecar({ restartPolicy }: Container): boolean {
  return restartPolicy === 'Always';
}

/**
 * The phase that the containers add up to, by the rules of a kubelet.
 *
 * @param over nothing of the pod will be started any more, whatever its restart policy
 * @see https://github.com/kubernetes/kubernetes/blob/v1.36.3/pkg/kubelet/kubelet_pods.go getPhase
 */
export function podPhase(pod: Pod, statuses: readonly ContainerStatus[], over: boolean): PodPhase {
  const { initContainers = [], containers = [], restartPolicy = 'Always' } = pod.spec ?? {};
  const byName = new Map(statuses.map((status) => [status.name, status]));
  const restarts = (exitCode: number): boolean =>
    restartPolicy === 'Always' || (restartPolicy === 'OnFailure' && exitCode !== 0);

  let initializing = false;
  let sidecarStarting = false;
  let running = 0;
  let waiting = 0;
  let stopped = 0;
  let succeeded = 0;
  let restarting = 0;
  let unknown = 0;

  for (const container of initContainers) {
    const status = byName.get(container.name);
    const state = status?.state ?? {};
    const ended = endOf(status);
    if (isSidecar(container)) {
      if (!status) unknown += 1;
      else if (state.running) {
        running += 1;
        sidecarStarting ||= status.started !== true;
      } else if (!ended) {
        waiting += 1;
        sidecarStarting = true;
      }
    } else if (!ended || state.running) initializing = true;
    else if (ended.exitCode !== 0 && !restarts(ended.exitCode)) return 'Failed';
  }

  let hasStarted = false;
  for (const container of containers) {
    const status = byName.get(container.name);
    const ended = endOf(status);
    if (!status) unknown += 1;
    else if (status.state?.running) running += 1;
    else if (ended) {
      stopped += 1;
      if (!over && restarts(ended.exitCode)) restarting += 1;
      // Waiting for its next attempt, a container has not succeeded even if its last attempt did.
      if (status.state?.terminated?.exitCode === 0) succeeded += 1;
    } else waiting += 1;
    hasStarted ||= Boolean(status?.state?.running ?? ended);
  }

  if (initializing || (sidecarStarting && !hasStarted) || waiting > 0 || unknown > 0) return 'Pending';
  if (running > 0) return 'Running';
  if (stopped === 0) return 'Pending';
  if (restarting > 0) return 'Running';
  return stopped === succeeded ? 'Succeeded' : 'Failed';
}

function endOf(status: ContainerStatus | undefined): ContainerState['terminated'] {
  return status?.state?.terminated ?? (status?.state?.running ? undefined : status?.lastState?.terminated);
}
