import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Pod } from '../../src/kube/types.ts';
import { createApi } from './support/api.ts';
import { describeOn } from './support/describe-on.ts';
import { EVERYTHING } from './support/environment.ts';
import { apply, kubectl, podOf, podsOf } from './support/kubectl.ts';
import { podFor, shell, untilPhase } from './support/pod.ts';
import { jobsOfPods } from './support/slurm.ts';
import { type Stack, startStack } from './support/stack.ts';
import { until } from './support/until.ts';

describeOn(EVERYTHING, 'a deleted pod leaves no job', () => {
  let stack: Stack;
  beforeAll(async () => {
    stack = await startStack({ name: 'delete' });
  });
  afterAll(() => stack?.[Symbol.asyncDispose]());

  const remove = (name: string, ...args: string[]) =>
    kubectl(['-n', stack.namespace, 'delete', 'pod', name, '--timeout=60s', ...args]);
  const noJobs = (uids: readonly string[], withinMs = 15_000) =>
    until('Slurm has no job of theirs', async () => (await jobsOfPods(uids)).length === 0, {
      withinMs,
      evidence: () => jobsOfPods(uids),
    });
  const uidOf = (pod: Pod | undefined): string => pod?.metadata?.uid ?? '';

  test('while Slurm lets it wait', async () => {
    const large = podFor(stack, 'pending', '', { containers: [shell('c', 'true')] });
    large.metadata = { ...large.metadata, annotations: { 'slurm-job.vk.io/flags': '--hold' } };
    await apply(stack.namespace, large);
    const uid = uidOf(await podOf(stack.namespace, 'pending'));
    await until('the job is queued', async () => (await jobsOfPods([uid]))[0]?.state === 'PD');
    await remove('pending');
    await noJobs([uid]);
  });

  test('while it runs', async () => {
    await apply(stack.namespace, podFor(stack, 'running', 'trap "exit 0" TERM; while true; do sleep 0.2; done'));
    const uid = uidOf(await untilPhase(stack, 'running', 'Running'));
    await remove('running');
    await noJobs([uid]);
  });

  test('while it runs and ignores SIGTERM', async () => {
    await apply(stack.namespace, podFor(stack, 'stubborn', 'trap "" TERM; while true; do sleep 0.2; done'));
    const uid = uidOf(await untilPhase(stack, 'stubborn', 'Running'));
    await remove('stubborn');
    await noJobs([uid]);
  });

  test('when it has just finished', async () => {
    await apply(stack.namespace, podFor(stack, 'finished', 'true'));
    const uid = uidOf(await untilPhase(stack, 'finished', 'Succeeded'));
    await remove('finished');
    await noJobs([uid]);
  });

  test('by force', async () => {
    await apply(stack.namespace, podFor(stack, 'forced', 'sleep 300'));
    const uid = uidOf(await untilPhase(stack, 'forced', 'Running'));
    await remove('forced', '--force', '--grace-period=0');
    await noJobs([uid]);
  });

  test.each([
    ['normally', undefined],
    ['by force', 0],
  ])('thirty, each 0 to 300 ms after its creation, %s', async (how, gracePeriodSeconds) => {
    using api = createApi();
    const pods = `/api/v1/namespaces/${stack.namespace}/pods`;
    const prefix = how === 'normally' ? 'soon' : 'force';
    const uids = await Promise.all(
      Array.from({ length: 30 }, async (_, i) => {
        const pod = podFor(stack, `${prefix}-${i}`, 'sleep 300');
        const made = await api.call('POST', pods, pod);
        expect(made.status).toBe(201);
        await sleep(i * 10);
        const gone = await api.call('DELETE', `${pods}/${prefix}-${i}`, {
          apiVersion: 'v1',
          kind: 'DeleteOptions',
          ...(gracePeriodSeconds === undefined ? {} : { gracePeriodSeconds }),
        });
        expect(gone.status).toBe(200);
        return uidOf(JSON.parse(made.text) as Pod);
      }),
    );
    await until('the API server has forgotten them', async () => (await podsOf(stack.namespace)).length === 0);
    await sleep(3_000);
    await noJobs(uids);
    // None is submitted late either.
    await sleep(5_000);
    expect(await jobsOfPods(uids)).toEqual([]);
  });

  test.each(['vk', 'proxy', 'sidecar'] as const)('while %s is down for five seconds', async (part) => {
    const names = [0, 1, 2, 3].map((i) => `${part}-down-${i}`);
    await apply(stack.namespace, ...names.map((name) => podFor(stack, name, 'sleep 300')));
    const uids: string[] = [];
    for (const name of names) uids.push(uidOf(await untilPhase(stack, name, 'Running')));
    await stack[part].kill('SIGKILL');
    await kubectl(['-n', stack.namespace, 'delete', 'pod', '--wait=false', ...names.slice(0, 2)]);
    await kubectl(['-n', stack.namespace, 'delete', 'pod', '--force', '--grace-period=0', ...names.slice(2)]);
    await sleep(5_000);
    await stack[part].start();
    await noJobs(uids, 15_000);
    await until('the API server has forgotten them', async () => (await podsOf(stack.namespace)).length === 0);
  });
});
