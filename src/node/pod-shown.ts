import type { PodStatus } from '../contract/pod-status.ts';
import { isTerminalPhase } from '../kube/pod-phase.ts';
import type { Pod } from '../kube/types.ts';

/** What the pod's status in the API says, as if the site had said it: where this process takes up a pod of an earlier one. Undefined if nothing was shown. */
export function shownStatus(pod: Pod): PodStatus | undefined {
  const { status = {}, metadata = {} } = pod;
  if (!status.containerStatuses) return undefined;
  const isReady = hasSandbox(pod);
  const isOver = isTerminalPhase(status.phase);
  return {
    namespace: metadata.namespace ?? 'default',
    name: metadata.name ?? '',
    uid: metadata.uid ?? '',
    sandbox: isOver ? 'Gone' : isReady ? 'Ready' : 'Waiting',
    containers: status.containerStatuses,
    initContainers: status.initContainerStatuses ?? [],
  };
}

/**
 * Whether a site has had the pod for sure: it has a job, an address, a sandbox or a container. Such a pod is never created again, as it would run
 * twice.
 */
export function wasAtSite(pod: Pod): boolean {
  const { containerStatuses = [], initContainerStatuses = [], podIP } = pod.status ?? {};
  return (
    pod.metadata?.annotations?.[JOB_ANNOTATION] !== undefined ||
    podIP !== undefined ||
    hasSandbox(pod) ||
    [...containerStatuses, ...initContainerStatuses].some(({ containerID }) => containerID)
  );
}

/** Where the id of the job is kept; the name that existing interLink nodes use. */
export const JOB_ANNOTATION = 'JobID';

function hasSandbox({ status }: Pod): boolean {
  return (status?.conditions ?? []).some(
    (condition) => condition.type === 'PodReadyToStartContainers' && condition.status === 'True',
  );
}
