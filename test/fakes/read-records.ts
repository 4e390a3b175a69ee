import type { RunnerRecord } from '../../src/contract/job-directory.ts';

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
