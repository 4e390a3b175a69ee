import type { PodStatusFields } from '../kube/types.ts';

/** Waiting reasons that mean no more than "not yet". */
const NOT_YET = new Set([
  'ContainerCreating',
  'PodInitializing',
  'Queued',
  'Resources',
  'Priority',
  'Held',
  'Submitting',
  'Pulling',
]);

/** What somebody who watches a pod waits for, each as a name and the value of now: the phase, conditions, the state of each container. */
export type StatusLabels = ReadonlyMap<string, string>;

/** The labels of one status. */
export function statusLabels(status: PodStatusFields): StatusLabels {
  const labels = new Map<string, string>([['phase', status.phase ?? 'Pending']]);
  for (const { type, status: value } of status.conditions ?? []) labels.set(`condition ${type}`, value);
  for (const container of [...(status.initContainerStatuses ?? []), ...(status.containerStatuses ?? [])]) {
    const { waiting, running, terminated } = container.state ?? {};
    const waits = NOT_YET.has(waiting?.reason ?? '') ? 'not yet' : `waiting ${waiting?.reason}`;
    const ended = `ended ${terminated?.exitCode} ${terminated?.reason}`;
    labels.set(
      `container ${container.name}`,
      `${container.restartCount} ${running ? 'running' : terminated ? ended : waits}`,
    );
  }
  return labels;
}

/** Whether nobody misses anything if `middle` is never shown between `before` and `after`. */
export function isDispensable(before: StatusLabels, middle: StatusLabels, after: StatusLabels): boolean {
  return [...middle].every(([name, value]) => before.get(name) === value || after.get(name) === value);
}
