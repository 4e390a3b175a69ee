import { afterAll, beforeAll, expect, test } from 'vitest';
import { describeOn } from './support/describe-on.ts';
import { EVERYTHING } from './support/environment.ts';
import { apply, kubectl, podOf } from './support/kubectl.ts';
import { podFor, shell, stateOf, untilPhase } from './support/pod.ts';
import { type Stack, startStack } from './support/stack.ts';
import { until } from './support/until.ts';

describeOn(EVERYTHING, 'what goes wrong with a pod is told', () => {
  let stack: Stack;
  beforeAll(async () => {
    stack = await startStack({ name: 'failures' });
    // Slurm counts its time limit in minutes, so these two run beside the other tests.
    await apply(
      stack.namespace,
      {
        ...podFor(stack, 'over-time', 'sleep 300'),
        metadata: {
          name: 'over-time',
          namespace: stack.namespace,
          annotations: { 'slurm-job.vk.io/flags': '--time=1' },
        },
      },
      podFor(stack, 'over-memory', '', {
        containers: [
          shell('c', 'x=a; while true; do x=$x$x; done', {
            resources: { requests: { memory: '64Mi' }, limits: { memory: '64Mi' } },
          }),
        ],
      }),
    );
  });
  afterAll(() => stack?.[Symbol.asyncDispose]());

  const describePod = (name: string) => kubectl(['-n', stack.namespace, 'describe', 'pod', name]);

  test('exit code 42 of a container', async () => {
    await apply(stack.namespace, podFor(stack, 'exit-42', 'echo bad luck; exit 42'));
    const pod = await untilPhase(stack, 'exit-42', 'Failed');
    expect(stateOf(pod, 'c').terminated).toMatchObject({ exitCode: 42, reason: 'Error' });
    expect(await describePod('exit-42')).toMatch(/Exit Code:\s+42/);
  });

  test('exit code 3 of an init container keeps the others from starting', async () => {
    await apply(
      stack.namespace,
      podFor(stack, 'init-3', 'echo never', { initContainers: [shell('prepare', 'exit 3')] }),
    );
    const pod = await untilPhase(stack, 'init-3', 'Failed');
    expect(stateOf(pod, 'prepare').terminated).toMatchObject({ exitCode: 3, reason: 'Error' });
    expect(stateOf(pod, 'c').waiting).toMatchObject({ reason: 'PodInitializing' });
    expect(await describePod('init-3')).toMatch(/Exit Code:\s+3/);
  });

  test('a command that does not exist', async () => {
    await apply(
      stack.namespace,
      podFor(stack, 'no-command', '', { containers: [shell('c', '', { command: ['/no/such/program'] })] }),
    );
    const pod = await untilPhase(stack, 'no-command', 'Failed');
    expect(stateOf(pod, 'c').terminated).toMatchObject({ exitCode: 128, reason: 'StartError' });
    expect(stateOf(pod, 'c').terminated?.message).toContain('/no/such/program');
    const text = await describePod('no-command');
    expect(text).toContain('StartError');
    expect(text).toMatch(/Exit Code:\s+128/);
  });

  test('an image that does not exist keeps the pod waiting as a kubelet does', async () => {
    await apply(
      stack.namespace,
      podFor(stack, 'no-image', '', { containers: [shell('c', 'true', { image: 'localhost:1/no/such:image' })] }),
    );
    await until('the reason is shown', async () => {
      const pod = await podOf(stack.namespace, 'no-image');
      const waiting = pod && (stateOf(pod, 'c').waiting as { reason?: string } | undefined);
      return pod?.status?.phase === 'Pending' && /^(ErrImagePull|ImagePullBackOff)$/.test(waiting?.reason ?? '');
    });
    expect(await describePod('no-image')).toContain('localhost:1/no/such:image');
    await kubectl(['-n', stack.namespace, 'delete', 'pod', 'no-image', '--wait', '--timeout=60s']);
  });

  test('an active deadline ends the pod', async () => {
    await apply(stack.namespace, podFor(stack, 'deadline', 'sleep 60', { activeDeadlineSeconds: 3 }));
    const pod = await untilPhase(stack, 'deadline', 'Failed');
    expect(pod.status).toMatchObject({
      reason: 'DeadlineExceeded',
      message: 'Pod was active on the node longer than the specified deadline',
    });
  });

  test('a job over its memory fails as OOMKilled', async () => {
    const pod = await untilPhase(stack, 'over-memory', 'Failed');
    expect(stateOf(pod, 'c').terminated).toMatchObject({ exitCode: 137, reason: 'OOMKilled' });
    expect(await describePod('over-memory')).toContain('OOMKilled');
  });

  test('a job over the time limit of Slurm fails with that cause', { timeout: 180_000 }, async () => {
    const pod = await untilPhase(stack, 'over-time', 'Failed', 150_000);
    const text = await describePod('over-time');
    expect(stateOf(pod, 'c').terminated?.exitCode).not.toBe(0);
    expect(`${pod.status?.reason} ${pod.status?.message} ${text}`).toMatch(/time limit|TIMEOUT|DeadlineExceeded/i);
  });
});
