import { describe, expect, test } from 'vitest';
import type { RunnerStatus } from '../../../src/contract/job-directory.ts';
import type { BatchEnd, SubmitPlan } from '../../../src/sidecar/batch/batch-system.ts';
import { endedByBatch, endedByRunner } from '../../../src/sidecar/batch/final-status.ts';
import type { JobRecord } from '../../../src/sidecar/batch/job-record.ts';

const START = Date.UTC(2026, 10, 25, 12);
const time = (seconds: number): string => new Date(START + seconds * 1000).toISOString();
const record = (change: Partial<JobRecord> = {}): JobRecord => ({
  uid: 'u',
  namespace: 'n',
  name: 'p',
  state: 'submitted',
  jobId: '7',
  hash: 'h',
  outline: {
    containers: [{ name: 'c', image: 'i' }],
    initContainers: [{ name: 'a', image: 'i' }],
    gracePeriodSeconds: 30,
  },
  plan: { options: [] },
  attempt: 1,
  createdMs: START,
  gone: false,
  ...change,
});
const runner = (state: object, change: Partial<RunnerStatus> = {}): RunnerStatus => ({
  sandbox: 'Gone',
  nodeName: 'n1',
  startTime: time(0),
  containers: [{ name: 'c', image: 'i', imageID: '', ready: false, restartCount: 0, state }],
  initContainers: [
    {
      name: 'a',
      image: 'i',
      imageID: '',
      ready: false,
      restartCount: 0,
      state: { terminated: { exitCode: 0, reason: 'Completed' } },
    },
  ],
  ...change,
});
const end: BatchEnd = {
  exitCode: 143,
  containerReason: 'Error',
  podReason: 'DeadlineExceeded',
  message: 'Slurm TIMEOUT after 1:00',
};

describe('a pod that the batch system ended and whose runner cannot tell why', () => {
  const word = runner(
    { terminated: { exitCode: 0, reason: 'Completed', finishedAt: time(5) } },
    { phase: 'Failed', reason: 'Terminated', message: 'SIGTERM' },
  );
  const facts = { record: record(), runner: undefined, events: [], nowMs: START };

  test('has the cause that the batch system knows', () => {
    const preempted = { ...end, podReason: 'Preempted', message: 'Slurm PREEMPTED' };
    expect(endedByRunner(facts, word, preempted)).toMatchObject({
      phase: 'Failed',
      reason: 'Preempted',
      message: 'Slurm PREEMPTED',
      containers: [{ state: { terminated: { exitCode: 0 } } }],
    });
  });

  test.each([
    ['nothing', undefined],
    ['no cause', { exitCode: 1, containerReason: 'Error', message: 'FAILED' }],
    ['only that it is lost', { ...end, podReason: 'JobLost' }],
  ] as const)("keeps its runner's word when the batch system knows %s", (_, verdict) => {
    expect(endedByRunner(facts, word, verdict)).toMatchObject({ reason: 'Terminated', message: 'SIGTERM' });
  });

  test("keeps a cause that its runner knows, whatever the batch system's is", () => {
    const known = { ...word, reason: 'DeadlineExceeded' };
    expect(endedByRunner(facts, known, { ...end, podReason: 'Cancelled' })).toMatchObject({
      reason: 'DeadlineExceeded',
    });
  });
});

describe('a pod that its runner ended', () => {
  test('completed near the limit, and its sidecar was told to end: that is no deadline', () => {
    const status = runner({ terminated: { exitCode: 0, reason: 'Completed', finishedAt: time(60) } });
    const [init] = status.initContainers;
    const sidecar = { ...init, name: 's', state: { terminated: { exitCode: 143, finishedAt: time(60) } } };
    const facts = { record: record({ plan: { options: [], timeLimitSeconds: 60 } }), runner: undefined, events: [] };
    const ended = endedByRunner({ ...facts, nowMs: START }, { ...status, initContainers: [sidecar as never] });
    expect(ended.phase).toBeUndefined();
  });

  const ended = (
    exitCode: number,
    seconds: number,
    plan: Omit<SubmitPlan, 'options'>,
    siteLimit?: number,
    reason = 'Error',
  ) =>
    endedByRunner(
      {
        record: record({ plan: { options: [], ...plan } }),
        runner: undefined,
        events: [],
        timeLimitSeconds: siteLimit,
        nowMs: START,
      },
      runner({ terminated: { exitCode, reason, finishedAt: time(seconds) } }),
    );

  test.each([
    ['at the limit it asked for', 143, 60, { timeLimitSeconds: 60 }, undefined],
    ["at the site's own limit", 137, 3_601, {}, 3_600],
    ['by a warning that came early', 143, 600 - 45 - 50, { timeLimitSeconds: 600, warningSeconds: 45 }, undefined],
  ] as const)('by a signal %s exceeded its deadline', (_when, exitCode, seconds, plan, site) => {
    expect(ended(exitCode, seconds, plan, site)).toMatchObject({ phase: 'Failed', reason: 'DeadlineExceeded' });
  });

  test.each([
    ['exited by itself', 1, 60, 'Error'],
    ['was killed long before', 137, 20, 'Error'],
    ['ran out of memory', 137, 60, 'OOMKilled'],
  ])('and %s did not', (_how, exitCode, seconds, reason) => {
    expect(ended(exitCode, seconds, { timeLimitSeconds: 60 }, undefined, reason)).not.toHaveProperty('phase');
  });
});

describe('a pod that the batch system ended', () => {
  test('keeps what the runner recorded and gets the verdict for the rest', () => {
    const status = endedByBatch(
      {
        record: record(),
        runner: runner({ running: { startedAt: time(1) } }, { sandbox: 'Ready' }),
        events: [],
        nowMs: START + 60_000,
      },
      end,
    );
    expect(status).toMatchObject({
      sandbox: 'Gone',
      phase: 'Failed',
      reason: 'DeadlineExceeded',
      message: end.message,
      jobId: '7',
    });
    expect(status.initContainers[0]?.state?.terminated).toEqual({ exitCode: 0, reason: 'Completed' });
    expect(status.containers[0]?.state?.terminated).toMatchObject({
      exitCode: 143,
      message: end.message,
      startedAt: time(1),
      finishedAt: '2026-11-25T12:01:00Z',
    });
  });

  test('before its runner began ends every container with the verdict', () => {
    const status = endedByBatch({ record: record(), runner: undefined, events: [], nowMs: START }, end);
    for (const { state } of [...status.initContainers, ...status.containers])
      expect(state?.terminated?.exitCode).toBe(143);
  });

  test('after its deletion is shown as a kubelet shows it, without a failure of its own', () => {
    const stop = { gracePeriodSeconds: 30, requestedMs: START };
    const status = endedByBatch({ record: record({ stop }), runner: undefined, events: [], nowMs: START }, end);
    expect(status).not.toHaveProperty('phase');
    expect(status.containers[0]?.state).toEqual({
      terminated: {
        exitCode: 137,
        reason: 'ContainerStatusUnknown',
        message: 'The container could not be located when the pod was terminated',
      },
    });
  });
});
