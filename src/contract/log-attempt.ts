import type { ContainerStatus } from '../kube/types.ts';
import type { LogOptions } from './sidecar.ts';

/**
 * The attempt of a container whose log is meant: the one that was asked for by number, else as a kubelet chooses it: the one that runs or ran last; with `previous`
 * the one before it, but the last one itself while the container waits for its next start. Undefined when there is none.
 *
 * @see https://github.com/kubernetes/kubernetes/blob/v1.36.3/pkg/kubelet/kubelet_pods.go validateContainerLogStatus
 */
export function logAttempt(
  status: ContainerStatus,
  { attempt, previous }: Pick<LogOptions, 'attempt' | 'previous'>,
): number | undefined {
  const { state, lastState, restartCount } = status;
  if (attempt !== undefined && attempt < restartCount) return attempt;
  const isHere = Boolean(state?.running ?? state?.terminated);
  // Waiting, it has not been counted yet: what is called last is its newest attempt.
  if (!isHere) return lastState?.terminated ? restartCount : undefined;
  if (!previous || attempt !== undefined) return restartCount;
  return lastState?.terminated ? restartCount - 1 : undefined;
}

/** Whether an attempt that was once seen has ended. */
export function isAttemptOver(status: ContainerStatus, attempt: number): boolean {
  return status.restartCount > attempt || status.state?.running === undefined;
}
