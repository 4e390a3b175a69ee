import { describe, expect, it } from 'vitest';
import type { PodStatus } from '../../../src/contract/pod-status.ts';
import type { ContainerStatus, Pod } from '../../../src/kube/types.ts';
import { stepsBetween } from '../../../src/node/pod-status-steps.ts';

const T = '2026-11-25T10:00:00Z';
const STATES: Record<string, ContainerStatus['state']> = {
  waiting: { waiting: {} },
  running: { running: { startedAt: T } },
  ended: { terminated: { exitCode: 0, startedAt: T, finishedAt: T } },
  unstartable: { terminated: { exitCode: 128, reason: 'StartError', startedAt: '1970-01-01T00:00:00Z' } },
  lost: { terminated: { exitCode: 137, reason: 'ContainerStatusUnknown' } },
};
const pod: Pod = { spec: { containers: [{ name: 'c' }] } };

/** `Ready running` is a site's status with one container. */
function site(text: string): PodStatus | undefined {
  if (text === '-') return undefined;
  const [sandbox, state = 'waiting'] = text.split(' ') as [PodStatus['sandbox'], string?];
  const container = { name: 'c', state: STATES[state] } as ContainerStatus;
  return {
    namespace: 'ns',
    name: 'p',
    uid: 'u',
    sandbox,
    podIP: '10.1.1.1',
    containers: [container],
    initContainers: [],
  };
}
function show({ sandbox, containers, podIP }: PodStatus): string {
  const state = containers[0]?.state;
  const word = state?.running ? 'running' : state?.terminated ? 'ended' : 'waiting';
  return `${sandbox} ${word}${podIP ? '' : ' without address'}`;
}

describe('stepsBetween', () => {
  it.each([
    ['-', 'Waiting', ['Waiting waiting']],
    ['Waiting', 'Ready', ['Ready waiting']],
    ['Waiting', 'Ready running', ['Ready waiting without address', 'Ready running']],
    ['Ready', 'Ready running', ['Ready running']],
    ['Ready running', 'Ready ended', ['Ready ended']],
    ['Ready ended', 'Gone ended', ['Gone ended']],
    ['Ready running', 'Gone ended', ['Ready ended', 'Gone ended']],
    ['Ready', 'Ready ended', ['Ready running', 'Ready ended']],
    ['-', 'Gone ended', ['Ready waiting without address', 'Ready running', 'Ready ended', 'Gone ended']],
    ['Waiting', 'Gone ended', ['Ready waiting without address', 'Ready running', 'Ready ended', 'Gone ended']],
    // A program that could not be started was never running.
    ['Ready', 'Ready unstartable', ['Ready ended']],
    ['Ready', 'Gone unstartable', ['Ready ended', 'Gone ended']],
    // Removed before it began.
    ['Waiting', 'Gone', ['Gone waiting']],
    ['Gone ended', 'Gone ended', ['Gone ended']],
    ['Ready running', 'Gone lost', ['Ready ended', 'Gone ended']],
  ])('goes from %s to %s by what a kubelet would show', (before, next, expected) => {
    expect(stepsBetween(pod, site(before), site(next) as PodStatus).map(show)).toEqual(expected);
  });

  it('ends with the very status of the site', () => {
    const next = site('Gone ended') as PodStatus;
    expect(stepsBetween(pod, undefined, next).at(-1)).toBe(next);
  });

  it('shows the cause of a pod that failed as a whole only at its end', () => {
    const next: PodStatus = {
      ...(site('Gone ended') as PodStatus),
      phase: 'Failed',
      reason: 'DeadlineExceeded',
      message: 'm',
    };
    const steps = stepsBetween(pod, site('Waiting'), next);
    expect(steps.map(({ reason, phase }) => [reason, phase])).toEqual([
      ...Array(steps.length - 1).fill([undefined, undefined]),
      ['DeadlineExceeded', 'Failed'],
    ]);
  });

  it('does not say that a container with a hook was running', () => {
    const hooked: Pod = { spec: { containers: [{ name: 'c', lifecycle: { postStart: {} } }] } };
    expect(stepsBetween(hooked, site('Ready'), site('Ready ended') as PodStatus).map(show)).toEqual(['Ready ended']);
  });
});
