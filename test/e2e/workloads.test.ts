import { afterAll, beforeAll, expect, test } from 'vitest';
import { describeOn } from './support/describe-on.ts';
import { EVERYTHING } from './support/environment.ts';
import { apply, kubectl, kubectlJson, podsOf } from './support/kubectl.ts';
import { podSpecFor } from './support/pod.ts';
import { jobsOfPods } from './support/slurm.ts';
import { type Stack, startStack } from './support/stack.ts';
import { until } from './support/until.ts';

describeOn(EVERYTHING, 'workloads of several pods', () => {
  let stack: Stack;
  beforeAll(async () => {
    stack = await startStack({ name: 'workloads' });
  });
  afterAll(() => stack?.[Symbol.asyncDispose]());

  test('a Deployment of 10 becomes available, and its jobs end with it', async () => {
    await apply(stack.namespace, {
      apiVersion: 'apps/v1',
      kind: 'Deployment',
      metadata: { name: 'ten' },
      spec: {
        replicas: 10,
        selector: { matchLabels: { app: 'ten' } },
        template: {
          metadata: { labels: { app: 'ten' } },
          spec: podSpecFor(stack, 'sleep 3600', { restartPolicy: 'Always' }),
        },
      },
    });
    await kubectl(['-n', stack.namespace, 'rollout', 'status', 'deployment/ten', '--timeout=120s']);
    const uids = (await podsOf(stack.namespace, 'app=ten')).map((pod) => pod.metadata?.uid ?? '');
    expect(uids).toHaveLength(10);
    expect(await jobsOfPods(uids)).toHaveLength(10);
    await kubectl(['-n', stack.namespace, 'delete', 'deployment', 'ten']);
    await until('no pod and no job is left', async () => {
      const [pods, jobs] = await Promise.all([podsOf(stack.namespace, 'app=ten'), jobsOfPods(uids)]);
      return pods.length === 0 && jobs.length === 0;
    });
  });

  test('a Job with 20 completions, 5 at a time, completes', async () => {
    await apply(stack.namespace, {
      apiVersion: 'batch/v1',
      kind: 'Job',
      metadata: { name: 'twenty' },
      spec: { completions: 20, parallelism: 5, backoffLimit: 0, template: { spec: podSpecFor(stack, 'echo done') } },
    });
    await kubectl(['-n', stack.namespace, 'wait', '--for=condition=complete', 'job/twenty', '--timeout=240s']);
    const job = await kubectlJson<{ status: { succeeded: number; failed?: number } }>([
      '-n',
      stack.namespace,
      'get',
      'job',
      'twenty',
    ]);
    expect(job.status.succeeded).toBe(20);
    expect(job.status.failed ?? 0).toBe(0);
    const uids = (await podsOf(stack.namespace, 'job-name=twenty')).map((pod) => pod.metadata?.uid ?? '');
    expect(await jobsOfPods(uids, { all: true })).toHaveLength(20);
  });
});
