import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Pod } from '../../src/kube/types.ts';
import { createApi } from './support/api.ts';
import { describeOn } from './support/describe-on.ts';
import { EVERYTHING } from './support/environment.ts';
import { kubectl, podsOf } from './support/kubectl.ts';
import { podFor } from './support/pod.ts';
import { jobsOfPods } from './support/slurm.ts';
import { type Stack, startStack } from './support/stack.ts';
import { until } from './support/until.ts';

const PARTS = ['vk', 'proxy', 'sidecar'] as const;
const VICTIMS = [...PARTS.map((part) => [part]), [...PARTS]];

describeOn(EVERYTHING, 'kill -9 of any part loses no pod and runs none twice', () => {
  let stack: Stack;
  beforeAll(async () => {
    stack = await startStack({ name: 'crash' });
  });
  afterAll(() => stack?.[Symbol.asyncDispose]());

  async function create(prefix: string, count: number, script: string): Promise<void> {
    using api = createApi();
    const answers = await Promise.all(
      Array.from({ length: count }, (_, i) =>
        api.call(
          'POST',
          `/api/v1/namespaces/${stack.namespace}/pods`,
          podFor(stack, `${prefix}-${i}`, script, {}, { burst: prefix }),
        ),
      ),
    );
    expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 201));
  }

  /** Waits until all have succeeded, then asks Slurm and the logs how often each ran. */
  async function expectEachRanOnce(prefix: string, count: number): Promise<void> {
    let pods: readonly Pod[] = [];
    await until(
      `all ${count} pods have succeeded`,
      async () => {
        pods = await podsOf(stack.namespace, `burst=${prefix}`);
        return pods.length === count && pods.every((pod) => pod.status?.phase === 'Succeeded');
      },
      {
        withinMs: 180_000,
        everyMs: 1_000,
        evidence: () =>
          pods
            .filter((pod) => pod.status?.phase !== 'Succeeded')
            .map((pod) => [pod.metadata?.name, pod.status])
            .slice(0, 3),
      },
    );
    const uids = pods.map((pod) => pod.metadata?.uid ?? '');
    const jobs = await jobsOfPods(uids, { all: true });
    const perPod = uids.map((uid) => jobs.filter((job) => job.comment.includes(uid) || job.name.includes(uid)).length);
    expect(perPod).toEqual(uids.map(() => 1));
    const logs = await Promise.all(
      pods.slice(0, 10).map((pod) => kubectl(['-n', stack.namespace, 'logs', pod.metadata?.name ?? ''])),
    );
    expect(logs).toEqual(logs.map(() => 'started\n'));
    await kubectl(['-n', stack.namespace, 'delete', 'pods', '-l', `burst=${prefix}`, '--wait=false']);
  }

  test('under 20 running pods, each part in turn and then all together', async () => {
    await create('steady', 20, 'echo started; sleep 45');
    await until(
      'all are Running',
      async () =>
        (await podsOf(stack.namespace, 'burst=steady')).filter((pod) => pod.status?.phase === 'Running').length === 20,
    );
    for (const victims of VICTIMS) {
      await Promise.all(victims.map((part) => stack[part].kill('SIGKILL')));
      await sleep(1_000);
      const during = await podsOf(stack.namespace, 'burst=steady');
      expect(during.every((pod) => pod.status?.phase !== 'Failed')).toBe(true);
      for (const part of [...victims].reverse()) await stack[part].start();
      await sleep(3_000);
    }
    await expectEachRanOnce('steady', 20);
  });

  test.each(VICTIMS.map((victims) => [victims.join(', '), victims] as const))(
    'of %s during a burst of 50 creates',
    async (_, victims) => {
      const prefix = victims.length === 1 ? `burst-${victims[0]}` : 'burst-all';
      const created = create(prefix, 50, 'echo started; sleep 1');
      await until('the first are submitted', async () => {
        const uids = (await podsOf(stack.namespace, `burst=${prefix}`)).map((pod) => pod.metadata?.uid ?? '');
        return (await jobsOfPods(uids, { all: true })).length >= 5;
      });
      await Promise.all(victims.map((part) => stack[part].kill('SIGKILL')));
      await created;
      await sleep(1_000);
      for (const part of [...victims].reverse()) await stack[part].start();
      await expectEachRanOnce(prefix, 50);
    },
  );
});
