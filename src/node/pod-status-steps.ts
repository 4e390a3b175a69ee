import type { PodStatus } from '../contract/pod-status.ts';
import type { ContainerStatus, Pod } from '../kube/types.ts';

/**
 * What a kubelet would have shown between two statuses of a site, ending with `next`. A site that is polled, or was out of reach, skips states that people and
 * controllers wait for: a sandbox that is ready, a container that runs, containers that have ended while the sandbox is still there. Nothing is
 * made up but the moment: a container with an end and a start has run.
 *
 * @param before what was shown last; undefined when the site had not said anything
 */
export function stepsBetween(pod: Pod, before: PodStatus | undefined, next: PodStatus): PodStatus[] {
  const steps: PodStatus[] = [];
  const hadSandbox = before !== undefined && before.sandbox !== 'Waiting';
  const begun = [...next.initContainers, ...next.containers].some(({ state }) => state?.running ?? state?.terminated);
  if (before?.sandbox === 'Gone' || next.sandbox === 'Waiting' || (next.sandbox === 'Gone' && !begun)) return [next];
  const { podIP: _podIP, phase: _phase, reason: _reason, message: _message, ...plain } = next;
  if (!hadSandbox && begun) {
    const waiting = (statuses: readonly ContainerStatus[]): ContainerStatus[] => statuses.map(asWaiting);
    steps.push({
      ...plain,
      sandbox: 'Ready',
      containers: waiting(next.containers),
      initContainers: waiting(next.initContainers),
    });
  }
  if (!hasHooks(pod) && next.containers.some((status) => ranUnseen(before, status))) {
    const { podIP } = next;
    steps.push({
      ...plain,
      ...(podIP === undefined ? {} : { podIP }),
      sandbox: 'Ready',
      containers: next.containers.map((status) => (ranUnseen(before, status) ? asRunning(status) : status)),
    });
  }
  if (next.sandbox === 'Gone' && !showedEnds(before, next)) {
    // The phase of a pod that failed as a whole belongs to its end.
    const { phase: _p, reason: _r, message: _m, ...ended } = next;
    steps.push({ ...ended, sandbox: 'Ready' });
  }
  return [...steps, next];
}

/** A container whose `postStart` hook fails is never shown as running, so nothing can be said about what was not seen. */
function hasHooks(pod: Pod): boolean {
  return (pod.spec?.containers ?? []).some(({ lifecycle }) => lifecycle?.postStart);
}

function ranUnseen(before: PodStatus | undefined, { name, state }: ContainerStatus): boolean {
  const seen = before?.containers.find((status) => status.name === name)?.state;
  const startedAt = state?.terminated?.startedAt;
  // A program that could not be started "started" in 1970.
  return !seen?.running && !seen?.terminated && startedAt !== undefined && Date.parse(startedAt) > 0;
}

/** Whether all that has ended was shown so while the sandbox was still there. */
function showedEnds(before: PodStatus | undefined, next: PodStatus): boolean {
  const shown = [...(before?.containers ?? []), ...(before?.initContainers ?? [])];
  return (
    before?.sandbox === 'Ready' &&
    [...next.containers, ...next.initContainers].every(
      ({ name, state }) =>
        !state?.terminated || shown.some((status) => status.name === name && status.state?.terminated),
    )
  );
}

function asWaiting({ name, image, imageID }: ContainerStatus): ContainerStatus {
  return { name, image, imageID, ready: false, restartCount: 0, state: { waiting: {} } };
}

function asRunning(status: ContainerStatus): ContainerStatus {
  const startedAt = status.state?.terminated?.startedAt;
  return { ...status, ready: true, started: true, state: { running: startedAt === undefined ? {} : { startedAt } } };
}
