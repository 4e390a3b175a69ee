import { isOver, type PodStatus } from '../../contract/pod-status.ts';
import { isSidecar } from '../../kube/pod-phase.ts';
import type { Pod } from '../../kube/types.ts';

/**
 * The exit code that a pod has by now: that of the container, init containers included, that failed first, else 0. A container that may be started again has not
 * failed, and native sidecars do not count. A pod that is over and failed as a whole without a failed container gives 1.
 */
export function exitCodeOf({ spec }: Pod, status: PodStatus): number {
  const sidecars = new Set((spec?.initContainers ?? []).filter(isSidecar).map(({ name }) => name));
  const isFinal = isOver(status) || spec?.restartPolicy === 'Never';
  const failures = (isFinal ? [...status.initContainers, ...status.containers] : [])
    .filter(({ name }) => !sidecars.has(name))
    .map(({ state }) => state?.terminated)
    .filter((terminated) => terminated !== undefined && terminated.exitCode !== 0)
    .sort((a, b) => (a?.finishedAt ?? '').localeCompare(b?.finishedAt ?? ''));
  const [first] = failures;
  if (first) return first.exitCode;
  return isOver(status) && status.phase === 'Failed' ? 1 : 0;
}
