import type { RunnerRecord } from '../../src/contract/job-directory.ts';
import type { ContainerStatus } from '../../src/kube/types.ts';

/** The status of a container or init container in a record. */
export const statusOf = (record: RunnerRecord | undefined, name: string): ContainerStatus => {
  const all = [...(record?.status.initContainers ?? []), ...(record?.status.containers ?? [])];
  const found = all.find((one) => one.name === name);
  if (found === undefined) throw new Error(`no container ${name} in the record`);
  return found;
};

/** `running`, `waiting REASON` or `REASON CODE` of a container in a record. */
export const stateOf = (record: RunnerRecord | undefined, name: string): string => {
  const all = [...(record?.status.initContainers ?? []), ...(record?.status.containers ?? [])];
  const state = all.find((one) => one.name === name)?.state;
  if (state?.running) return 'running';
  if (state?.terminated) return `${state.terminated.reason} ${state.terminated.exitCode}`;
  return `waiting ${state?.waiting?.reason}`;
};
/** `TYPE REASON FIELD MESSAGE` of each event, in order. */
export const eventsOf = (records: readonly RunnerRecord[]): string[] =>
  records
    .flatMap((record) => record.events)
    .map(({ type, reason, message, fieldPath }) => [type, reason, fieldPath ?? '-', message].join(' '));
/** Whether the last record shows all of `names` running. */
export const isRunning =
  (...names: string[]) =>
  (records: readonly RunnerRecord[]): boolean =>
    names.every((name) => stateOf(records.at(-1), name) === 'running');
