import type { ContainerStatus, Pod } from '../../../src/kube/types.ts';

type State = NonNullable<ContainerStatus['state']>;

/**
 * The whole status of a pod in a few lines without what differs from run to run: phase with reason and message; conditions; one line per container, init
 * containers first. What is usual for the state of a container is left out: a running one is ready and started, a waiting one has no id, one that has
 * ended is neither ready nor started and has an id and the digest of its image.
 */
export function outlineOf(pod: Pod): readonly string[] {
  const {
    phase,
    reason,
    message,
    conditions = [],
    initContainerStatuses = [],
    containerStatuses = [],
  } = pod.status ?? {};
  const lines = [
    [phase, reason, message && `"${message}"`].filter(Boolean).join(' '),
    conditions
      .map((condition) =>
        [condition.type, condition.status, condition.reason, condition.message && `"${condition.message}"`]
          .filter(Boolean)
          .join(' '),
      )
      .join(', '),
    ...[...initContainerStatuses, ...containerStatuses].map(lineOf),
  ];
  const unsteady: readonly (readonly [string | undefined, string])[] = [
    [pod.metadata?.namespace, 'NAMESPACE'],
    [pod.metadata?.uid, 'UID'],
    [pod.spec?.nodeName, 'NODE'],
  ];
  return lines.map((line) =>
    unsteady.reduce((text, [value, word]) => (value ? text.replaceAll(value, word) : text), line),
  );
}

function lineOf(status: ContainerStatus): string {
  const { name, state, lastState, ready, started, restartCount, containerID, imageID } = status;
  const isRunning = state?.running !== undefined;
  const facts = [`${name}: ${textOf(state)}`];
  if (ready !== isRunning) facts.push(ready ? 'ready' : 'not ready');
  if ((started ?? false) !== isRunning) facts.push(started ? 'started' : 'not started');
  if (restartCount > 0) facts.push(`restarts ${restartCount}`);
  if (lastState && Object.keys(lastState).length > 0) facts.push(`last ${textOf(lastState)}`);
  const hasId = Boolean(containerID) && Boolean(imageID);
  if (hasId !== (state?.waiting === undefined)) facts.push(hasId ? 'id' : 'no id');
  return facts.join(', ');
}

function textOf(state: State | undefined): string {
  if (state?.running) return 'running';
  const { reason, message, exitCode } = { ...state?.waiting, ...state?.terminated } as {
    reason?: string;
    message?: string;
    exitCode?: number;
  };
  return [state?.terminated ? exitCode : 'waiting', reason, message && `"${message}"`]
    .filter((part) => part !== undefined && part !== '')
    .join(' ');
}
