import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { outputOf } from './support/command.ts';
import { describeOn } from './support/describe-on.ts';
import { EVERYTHING, environment } from './support/environment.ts';
import { apply, kubectl, podsOf, watchPods } from './support/kubectl.ts';
import { podSpecFor } from './support/pod.ts';
import { slurm, slurmJobs } from './support/slurm.ts';
import { type Stack, startStack } from './support/stack.ts';
import { until } from './support/until.ts';

const PODS = 100;

describeOn(EVERYTHING, 'a Job of 100 pods at once', () => {
  let stack: Stack;
  beforeAll(async () => {
    stack = await startStack({ name: 'scale' });
  });
  afterAll(() => stack?.[Symbol.asyncDispose]());

  const active = async () => (await slurmJobs()).filter((job) => job.state !== 'CG').length;

  /** What anyone would do without Kubernetes: sbatch in a loop, each job the same container. */
  async function bareSbatchLoop(): Promise<number> {
    const script = `#!/bin/sh\nexec apptainer --silent exec ${environment.imageSif} sleep 5\n`;
    const loop = `i=0; while [ $i -lt ${PODS} ]; do sbatch --parsable -o /dev/null -J bare <<'E' >/dev/null || exit 1\n${script}E\ni=$((i+1)); done`;
    const from = performance.now();
    await outputOf(
      ['setpriv', `--reuid=${environment.user}`, `--regid=${environment.user}`, '--init-groups', 'sh', '-c', loop],
      {
        env: { PATH: process.env.PATH, SLURM_CONF: environment.slurmConf, HOME: '/tmp' },
        cwd: '/tmp',
        timeoutMs: 120_000,
      },
    );
    return performance.now() - from;
  }

  test('every pod is seen Running, and the last end within 3 s; what the submission took stands beside a bare sbatch loop', async () => {
    const bareMs = await bareSbatchLoop();
    await until('the bare jobs are over', async () => (await active()) === 0, { withinMs: 120_000 });
    const before = Number(
      (await slurm('squeue', '-h', '-t', 'all', '-o', '%A'))
        .split('\n')
        .map(Number)
        .sort((a, b) => b - a)[0],
    );

    using watch = watchPods(stack.namespace);
    await sleep(1_000);
    const from = performance.now();
    await apply(stack.namespace, {
      apiVersion: 'batch/v1',
      kind: 'Job',
      metadata: { name: 'hundred' },
      spec: { completions: PODS, parallelism: PODS, backoffLimit: 0, template: { spec: podSpecFor(stack, 'sleep 5') } },
    });
    await until(
      'all are submitted',
      async () => (await slurmJobs({ all: true })).filter((job) => Number(job.id) > before).length >= PODS,
      {
        everyMs: 100,
        withinMs: 120_000,
      },
    );
    const submittedMs = performance.now() - from;
    await until('the jobs are over', async () => (await active()) === 0, { withinMs: 180_000, everyMs: 100 });
    const lastEndMs = performance.now();
    await kubectl(['-n', stack.namespace, 'wait', '--for=condition=complete', 'job/hundred', '--timeout=120s']);
    const firstSucceeded = new Map<string, number>();
    for (const { pod, atMs } of watch.seen) {
      const uid = pod.metadata?.uid ?? '';
      if (pod.status?.phase === 'Succeeded' && !firstSucceeded.has(uid)) firstSucceeded.set(uid, atMs);
    }
    const endSeenAfterMs = Math.max(...firstSucceeded.values()) - lastEndMs;
    // Nothing can be submitted before the job controller has made the pods and the scheduler has placed them.
    const placed = new Map<string, number>();
    for (const { pod, atMs } of watch.seen) {
      const uid = pod.metadata?.uid ?? '';
      if (pod.spec?.nodeName !== undefined && !placed.has(uid)) placed.set(uid, atMs);
    }
    const placedMs = Math.max(...placed.values()) - from;
    const running = new Set(
      watch.seen.filter(({ pod }) => pod.status?.phase === 'Running').map(({ pod }) => pod.metadata?.uid),
    );
    console.log(
      `bare sbatch loop ${(bareMs / 1000).toFixed(1)} s; the Job's pods placed by Kubernetes in ${(placedMs / 1000).toFixed(1)} s and submitted in ` +
        `${(submittedMs / 1000).toFixed(1)} s, ratio ${(submittedMs / bareMs).toFixed(2)}; ${running.size} seen Running; last Succeeded seen ${(endSeenAfterMs / 1000).toFixed(2)} s after the last job`,
    );
    expect((await podsOf(stack.namespace)).filter((pod) => pod.status?.phase === 'Succeeded')).toHaveLength(PODS);
    expect(running.size).toBe(PODS);
    expect(endSeenAfterMs).toBeLessThan(3_000);
  });
});
