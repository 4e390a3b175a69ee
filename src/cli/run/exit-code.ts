import { isOver, type PodStatus } from '../../contract/pod-status.ts';

/**
 * The exit code that a pod has by now: that of the container, init containers included, that failed first, else 0. A pod that is over and failed
 * as a whole without a failed container gives 1.
 */
export function exitCodeOf(status: PodStatus): number {
  const failures = [...status.initContainers, ...status.containers]
    .map(({ state }) => state?.terminated)
    .filter((terminated) => terminated !== undefined && terminated.exitCode !== 0)
    .sort((a, b) => (a?.finishedAt ?? '').localeCompare(b?.finishedAt ?? ''));
  const [first] = failures;
  if (first) return first.exitCode;
  return isOver(status) && status.phase === 'Failed' ? 1 : 0;
}
