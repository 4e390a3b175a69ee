import { describe, expect, it } from 'vitest';
import { derivePodStatus, type StatusFacts } from '../../../src/contract/derive-pod-status.ts';
import type { PodStatus } from '../../../src/contract/pod-status.ts';
import type { ContainerStatus, Pod, PodStatusFields } from '../../../src/kube/types.ts';
import { podStatusPatch } from '../../../src/node/pod-status-patch.ts';

const facts: StatusFacts = { nowMs: Date.UTC(2026, 10, 25, 10), hostIPs: ['10.0.0.1', 'fd00::1'] };
const T1 = '2026-11-25T09:00:00Z';

const podOf = (spec: Partial<NonNullable<Pod['spec']>> = {}, status: PodStatusFields = {}): Pod => ({
  metadata: { name: 'p', namespace: 'ns', uid: 'u', generation: 3 },
  spec: { restartPolicy: 'Never', containers: [{ name: 'c', image: 'img' }], ...spec } as NonNullable<Pod['spec']>,
  status: { phase: 'Pending', ...status },
});
const siteOf = (
  sandbox: PodStatus['sandbox'],
  states: ContainerStatus['state'][],
  more: Partial<PodStatus> = {},
): PodStatus => ({
  namespace: 'ns',
  name: 'p',
  uid: 'u',
  sandbox,
  containers: states.map((state, index) => ({ name: ['c', 'd'][index], state }) as ContainerStatus),
  initContainers: [],
  ...more,
});
const running = { running: { startedAt: T1 } };
const ended = (exitCode: number) => ({ terminated: { exitCode, startedAt: T1, finishedAt: T1 } });
const condition = (status: PodStatusFields, type: string) => status.conditions?.find((entry) => entry.type === type);

describe('derivePodStatus', () => {
  it('changes the time of a condition only with its status', () => {
    const first = derivePodStatus(podOf(), undefined, facts);
    const later = derivePodStatus(podOf({}, first), siteOf('Ready', [running]), {
      ...facts,
      nowMs: facts.nowMs + 60_000,
    });
    expect(condition(first, 'Ready')?.lastTransitionTime).toBe('2026-11-25T10:00:00Z');
    expect(condition(later, 'Ready')).toMatchObject({ status: 'True', lastTransitionTime: '2026-11-25T10:01:00Z' });
    expect(condition(later, 'PodScheduled')?.lastTransitionTime).toBe('2026-11-25T10:00:00Z');
    expect(later.startTime).toBe(first.startTime);
  });

  it('leaves fields and conditions of others as they are', () => {
    const foreign = { type: 'DisruptionTarget', status: 'True', reason: 'Preempted', lastTransitionTime: T1 };
    const before = { conditions: [foreign], qosClass: 'Burstable', futureField: 1, ephemeralContainerStatuses: [] };
    const status = derivePodStatus(podOf({}, before as PodStatusFields), undefined, facts);
    expect(status).toMatchObject({ qosClass: 'Burstable', futureField: 1, ephemeralContainerStatuses: [] });
    expect(status.conditions?.[0]).toEqual(foreign);
    expect(status.conditions).toHaveLength(6);
  });

  it.each(['NodeLost', 'Preempted', 'Terminated'])('marks a pod that is taken away (%s) as disrupted', (reason) => {
    const site = siteOf('Gone', [ended(143)], { phase: 'Failed', reason, message: 'the site needs the machine' });
    const status = derivePodStatus(podOf(), site, facts);
    expect(condition(status, 'DisruptionTarget')).toEqual({
      type: 'DisruptionTarget',
      status: 'True',
      reason: 'TerminationByKubelet',
      message: 'the site needs the machine',
      lastTransitionTime: '2026-11-25T10:00:00Z',
      observedGeneration: 3,
    });
    // It stays, and is written once.
    expect(derivePodStatus(podOf({}, status), site, { ...facts, nowMs: facts.nowMs + 60_000 })).toEqual(status);
    expect(podStatusPatch(podOf(), status)?.status).toMatchObject({
      conditions: expect.arrayContaining([expect.objectContaining({ type: 'DisruptionTarget' })]),
    });
    expect(podStatusPatch(podOf({}, status), status)).toBeUndefined();
  });

  it.each([
    ['that fails by itself', {}],
    ['that exceeds its deadline', { phase: 'Failed', reason: 'DeadlineExceeded' }],
    ['that holds more on disk than it may', { phase: 'Failed', reason: 'Evicted' }],
    ['whose job somebody cancelled', { phase: 'Failed', reason: 'Cancelled' }],
  ] as const)('does not call a pod %s disrupted', (_, more) => {
    const status = derivePodStatus(podOf(), siteOf('Gone', [ended(143)], more), facts);
    expect(condition(status, 'DisruptionTarget')).toBeUndefined();
  });

  it('leaves the disruption of somebody else', () => {
    const foreign = {
      type: 'DisruptionTarget',
      status: 'True',
      reason: 'EvictionByEvictionAPI',
      lastTransitionTime: T1,
    };
    const before = podOf({}, { conditions: [foreign] } as PodStatusFields);
    const site = siteOf('Gone', [ended(143)], { phase: 'Failed', reason: 'Preempted' });
    const status = derivePodStatus(before, site, facts);
    expect(status.conditions?.filter(({ type }) => type === 'DisruptionTarget')).toEqual([foreign]);
    expect(JSON.stringify(podStatusPatch(before, status))).not.toContain('DisruptionTarget');
  });

  it('keeps a terminal phase with its reason, whatever the site says later', () => {
    const before: PodStatusFields = { phase: 'Failed', reason: 'Evicted', message: 'by somebody' };
    for (const site of [undefined, siteOf('Ready', [running]), siteOf('Gone', [ended(0)])])
      expect(derivePodStatus(podOf({}, before), site, facts)).toMatchObject(before);
  });

  it('changes nothing but the generation of a finished pod that the site has forgotten', () => {
    const before = derivePodStatus(podOf(), siteOf('Gone', [ended(7)], { podIP: '10.9.9.9' }), facts);
    const pod = podOf({}, before);
    const after = derivePodStatus({ ...pod, metadata: { ...pod.metadata, generation: 4 } }, undefined, facts);
    expect(after).toEqual({ ...before, observedGeneration: 4 });
  });

  it('never goes back from Running, and takes silence of the site for no news', () => {
    const before = derivePodStatus(podOf(), siteOf('Ready', [running], { podIP: '10.9.9.9' }), facts);
    expect(before.phase).toBe('Running');
    const silent = derivePodStatus(podOf({}, before), undefined, facts);
    expect(silent).toEqual(before);
    const confused = derivePodStatus(podOf({}, before), siteOf('Waiting', [{}]), facts);
    expect(confused.phase).toBe('Running');
  });

  it('does not bring a container back to life that has ended for good', () => {
    const before = derivePodStatus(podOf(), siteOf('Ready', [ended(3)]), facts);
    const after = derivePodStatus(podOf({}, before), siteOf('Ready', [running]), facts);
    expect(after.containerStatuses?.[0]?.state?.terminated?.exitCode).toBe(3);
  });

  it('shows the end only when nothing is left on the machine', () => {
    const seen = derivePodStatus(podOf(), siteOf('Ready', [running]), facts);
    const done = derivePodStatus(podOf({}, seen), siteOf('Ready', [ended(0)]), facts);
    expect(done.phase).toBe('Running');
    expect(condition(done, 'Ready')).toMatchObject({ status: 'False', reason: 'PodCompleted' });
    const gone = derivePodStatus(podOf({}, done), siteOf('Gone', [ended(0)]), facts);
    expect(gone.phase).toBe('Succeeded');
    expect(condition(gone, 'PodReadyToStartContainers')?.status).toBe('False');
  });

  it('takes a container without an end for failed once nothing runs any more', () => {
    const seen = derivePodStatus(podOf(), siteOf('Ready', [running]), facts);
    const lost = derivePodStatus(podOf({}, seen), siteOf('Gone', [running]), facts);
    expect(lost.phase).toBe('Failed');
    expect(lost.containerStatuses?.[0]).toMatchObject({
      ready: false,
      state: { terminated: { exitCode: 137, reason: 'ContainerStatusUnknown' } },
    });
    expect(condition(lost, 'Ready')).toMatchObject({ status: 'False', reason: 'PodFailed' });
  });

  it('shows the cause of a pod that failed as a whole', () => {
    const cause = { phase: 'Failed', reason: 'NodeLost', message: 'node7 went down' } as const;
    const status = derivePodStatus(podOf(), siteOf('Gone', [running], cause), facts);
    expect(status).toMatchObject(cause);
  });

  it('lets containers wait that never started when the site refuses the pod', () => {
    const failure = { reason: 'UnexpectedAdmissionError', message: 'no' };
    const first = derivePodStatus(podOf(), undefined, facts);
    const status = derivePodStatus(podOf({}, first), undefined, { ...facts, over: true, failure });
    expect(status).toMatchObject({ phase: 'Failed', ...failure });
    expect(status.containerStatuses?.[0]?.state).toEqual({ waiting: { reason: 'ContainerCreating' } });
  });

  it('gives a pod that restarts its containers an end when it is over', () => {
    const spec = { restartPolicy: 'Always' };
    expect(derivePodStatus(podOf(spec), siteOf('Gone', [ended(0)]), facts).phase).toBe('Succeeded');
    expect(derivePodStatus(podOf(spec), siteOf('Gone', [ended(1)]), facts).phase).toBe('Failed');
    expect(derivePodStatus(podOf(spec), siteOf('Ready', [ended(1)]), facts).phase).toBe('Running');
  });

  it.each([
    ['Priority', undefined, { reason: 'Priority' }],
    ['Resources', 'behind 3 jobs', { reason: 'Resources', message: 'behind 3 jobs' }],
    ['QOSMaxCpuPerUserLimit', undefined, { reason: 'Queued', message: 'QOSMaxCpuPerUserLimit' }],
    ['Dependency', 'job 7', { reason: 'Queued', message: 'Dependency: job 7' }],
    ['JobHeldUser', undefined, { reason: 'Held', message: 'JobHeldUser' }],
  ])('shows that the job waits for %s', (reason, message, waiting) => {
    const status = derivePodStatus(
      podOf(),
      siteOf('Waiting', [{}], { reason, ...(message ? { message } : {}) }),
      facts,
    );
    expect(status.containerStatuses?.[0]?.state).toEqual({ waiting });
    expect(status.reason).toBeUndefined();
  });

  it('takes the reason from the container where the site has put it there', () => {
    const status = derivePodStatus(podOf(), siteOf('Waiting', [{ waiting: { reason: 'BadConstraints' } }]), facts);
    expect(status.containerStatuses?.[0]?.state).toEqual({ waiting: { reason: 'Queued', message: 'BadConstraints' } });
  });

  it("shows a container's own reason once the job runs", () => {
    const waiting = { reason: 'ErrImagePull', message: 'no route' };
    const status = derivePodStatus(podOf(), siteOf('Ready', [{ waiting }], { reason: 'Priority' }), facts);
    expect(status.containerStatuses?.[0]?.state).toEqual({ waiting });
  });

  it('has one word for all containers that have not begun', () => {
    const pod = podOf({ initContainers: [{ name: 'i' }] });
    const waiting = { waiting: { reason: 'ContainerCreating' } };
    const site = siteOf('Ready', [waiting], { initContainers: [{ name: 'i', state: waiting } as ContainerStatus] });
    const status = derivePodStatus(pod, site, facts);
    expect(status.initContainerStatuses?.[0]?.state).toEqual({ waiting: { reason: 'PodInitializing' } });
    expect(status.containerStatuses?.[0]?.state).toEqual({ waiting: { reason: 'PodInitializing' } });
  });

  it('completes what an older peer leaves out', () => {
    const site = siteOf('Ready', [{ running: { startedAt: '0001-01-01T00:00:00Z' } }, ended(0)]);
    const pod = podOf({
      containers: [
        { name: 'c', image: 'img' },
        { name: 'd', image: 'other' },
      ],
    });
    const [c, d] = derivePodStatus(pod, site, facts).containerStatuses ?? [];
    expect(c).toEqual({
      name: 'c',
      image: 'img',
      imageID: '',
      ready: true,
      started: true,
      restartCount: 0,
      state: { running: {} },
      lastState: {},
    });
    expect(d).toMatchObject({ image: 'other', ready: false, started: false });
  });

  it('cuts termination messages to what a pod may have, between characters', () => {
    const message = 'é'.repeat(7000);
    const site = siteOf('Ready', [{ terminated: { exitCode: 0, message } }, { terminated: { exitCode: 0, message } }]);
    const pod = podOf({ containers: [{ name: 'c' }, { name: 'd' }] });
    const messages = derivePodStatus(pod, site, facts).containerStatuses?.map(
      ({ state }) => state?.terminated?.message,
    );
    expect(messages).toEqual(['é'.repeat(3072), 'é'.repeat(3072)]);
  });

  it('has an address only once the site gives one, and keeps it', () => {
    const first = derivePodStatus(podOf(), siteOf('Ready', [{}]), facts);
    expect(first).toMatchObject({ hostIP: '10.0.0.1', hostIPs: [{ ip: '10.0.0.1' }, { ip: 'fd00::1' }] });
    expect(first.podIP).toBeUndefined();
    const second = derivePodStatus(podOf({}, first), siteOf('Ready', [running], { podIP: '10.9.9.9' }), facts);
    expect(second).toMatchObject({ podIP: '10.9.9.9', podIPs: [{ ip: '10.9.9.9' }] });
    expect(derivePodStatus(podOf({}, second), siteOf('Gone', [ended(0)]), facts).podIP).toBe('10.9.9.9');
  });
});
