import { afterAll, beforeAll, expect, test } from 'vitest';
import { describeOn } from './support/describe-on.ts';
import { EVERYTHING, environment } from './support/environment.ts';
import { apply, kubectl, kubectlJson, kubectlOutcome, podOf, watchPods } from './support/kubectl.ts';
import { podFor, shell, stateOf, untilPhase } from './support/pod.ts';
import { jobsOfPods, slurm } from './support/slurm.ts';
import { type Stack, startStack } from './support/stack.ts';
import { until } from './support/until.ts';

describeOn(EVERYTHING, 'the way of a pod through the real parts', () => {
  let stack: Stack;
  beforeAll(async () => {
    stack = await startStack({ name: 'lifecycle' });
  });
  afterAll(() => stack?.[Symbol.asyncDispose]());

  test('the node is Ready with the CPUs, memory and GPUs of the cluster', async () => {
    const nodeOf = () =>
      kubectlJson<{
        status: { capacity: Record<string, string>; conditions: { type: string; status: string }[] };
      }>(['get', 'node', stack.nodeName]);
    const node = await until('the site has told its size', async () => {
      const seen = await nodeOf();
      return seen.status.capacity.cpu !== undefined && seen;
    });
    expect(node.status.capacity.cpu).toBe('256');
    expect(node.status.capacity['nvidia.com/gpu']).toBe('8');
    const memory = node.status.capacity.memory ?? '';
    const bytes =
      Number.parseInt(memory, 10) * ({ Ki: 2 ** 10, Mi: 2 ** 20, Gi: 2 ** 30 }[memory.replace(/\d+/, '')] ?? 1);
    expect(bytes / 2 ** 20).toBe(256_000);
    expect(node.status.conditions.find((condition) => condition.type === 'Ready')?.status).toBe('True');
  });

  test('a pod that the scheduler places runs as a Slurm job of the submitting user', async () => {
    const pod = podFor(stack, 'placed', 'id -u; sleep 3');
    await apply(stack.namespace, pod);
    const running = await untilPhase(stack, 'placed', 'Running');
    expect(running.spec?.nodeName).toBe(stack.nodeName);
    const events = await kubectl(['-n', stack.namespace, 'get', 'events', '--field-selector', 'reason=Scheduled']);
    expect(events).toContain(`pod/placed`);
    const jobs = await jobsOfPods([running.metadata?.uid ?? '']);
    expect(jobs).toHaveLength(1);
    expect(jobs[0]).toMatchObject({ user: environment.user, state: 'R' });
    const done = await untilPhase(stack, 'placed', 'Succeeded');
    expect(stateOf(done, 'c').terminated).toMatchObject({ exitCode: 0, reason: 'Completed' });
    await until('the job is over', async () => (await jobsOfPods([running.metadata?.uid ?? ''])).length === 0);
  });

  test('a job that Slurm lets wait shows the reason, then runs, then succeeds', async () => {
    using watch = watchPods(stack.namespace);
    const large = { resources: { requests: { cpu: '40' } } };
    // One fills a node of 64 CPUs, so a fifth has to wait, although the virtual node as a whole has CPUs left.
    const names = [0, 1, 2, 3].map((i) => `blocker-${i}`);
    await apply(
      stack.namespace,
      ...names.map((name) => podFor(stack, name, '', { containers: [shell('c', 'sleep 600', large)] })),
    );
    for (const name of names) await untilPhase(stack, name, 'Running');
    await apply(stack.namespace, podFor(stack, 'waits', '', { containers: [shell('c', 'sleep 1', large)] }));
    await until(
      'the reason of Slurm is shown',
      async () => {
        const pod = await podOf(stack.namespace, 'waits');
        const waiting = pod && (stateOf(pod, 'c').waiting as { reason?: string } | undefined);
        return pod?.status?.phase === 'Pending' && (waiting?.reason === 'Resources' || waiting?.reason === 'Priority');
      },
      { evidence: () => podOf(stack.namespace, 'waits') },
    );
    await kubectl(['-n', stack.namespace, 'delete', 'pod', '--wait=false', ...names]);
    await untilPhase(stack, 'waits', 'Succeeded');
    const phases = watch.seen.filter(({ pod }) => pod.metadata?.name === 'waits').map(({ pod }) => pod.status?.phase);
    expect(phases.filter((phase, i) => phase !== phases[i - 1])).toEqual(['Pending', 'Running', 'Succeeded']);
  });

  test('kubectl logs agrees with what the container wrote, with every option', async () => {
    const script = 'for i in 1 2 3 4 5; do echo line $i; done; sleep 2; for i in 6 7 8 9 10; do echo line $i; done';
    await apply(
      stack.namespace,
      podFor(stack, 'talks', script, {
        initContainers: [shell('prepare', 'echo from init')],
        containers: [shell('c', script), shell('other', 'echo other')],
      }),
    );
    await untilPhase(stack, 'talks', 'Running');
    const logs = (...args: string[]) => kubectl(['-n', stack.namespace, 'logs', 'talks', ...args]);
    const followed = logs('-c', 'c', '-f');
    const all = Array.from({ length: 10 }, (_, i) => `line ${i + 1}\n`).join('');
    expect(await followed).toBe(all);
    const done = await untilPhase(stack, 'talks', 'Succeeded');
    expect(await logs('-c', 'c')).toBe(all);
    expect(await logs('-c', 'prepare')).toBe('from init\n');
    expect(await logs('-c', 'other')).toBe('other\n');
    expect(await logs('-c', 'c', '--tail', '3')).toBe('line 8\nline 9\nline 10\n');
    expect(await logs('-c', 'c', '--tail', '0')).toBe('');
    expect(await logs('-c', 'c', '--limit-bytes', '10')).toBe('line 1\nlin');
    const stamped = (await logs('-c', 'c', '--timestamps')).trimEnd().split('\n');
    expect(stamped.map((line) => `${line.split(' ').slice(1).join(' ')}\n`).join('')).toBe(all);
    const sixth = new Date(stamped[5]?.split(' ')[0] ?? '').getTime();
    expect(await logs('-c', 'c', '--since-time', new Date(sixth - 1000).toISOString())).toBe(
      all.slice(all.indexOf('line 6')),
    );
    expect(await logs('-c', 'c', '--since', '1h')).toBe(all);
    expect(done.status?.containerStatuses?.every((status) => status.state?.terminated?.exitCode === 0)).toBe(true);
  });

  test('a ConfigMap, a Secret, the downward API and a shared emptyDir reach the containers', async () => {
    await apply(
      stack.namespace,
      { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'settings' }, data: { greeting: 'hello' } },
      { apiVersion: 'v1', kind: 'Secret', metadata: { name: 'password' }, stringData: { word: 'open sesame' } },
      podFor(stack, 'volumes', '', {
        initContainers: [
          shell('prepare', 'echo shared >/shared/file', { volumeMounts: [{ name: 'shared', mountPath: '/shared' }] }),
        ],
        containers: [
          shell(
            'c',
            'cat /shared/file /config/greeting; echo; cat /secret/word; echo; cat /info/name; echo; echo $GREETING $NODE',
            {
              env: [
                { name: 'GREETING', valueFrom: { configMapKeyRef: { name: 'settings', key: 'greeting' } } },
                { name: 'NODE', valueFrom: { fieldRef: { fieldPath: 'spec.nodeName' } } },
              ],
              volumeMounts: [
                { name: 'shared', mountPath: '/shared' },
                { name: 'config', mountPath: '/config' },
                { name: 'secret', mountPath: '/secret', readOnly: true },
                { name: 'info', mountPath: '/info' },
              ],
            },
          ),
        ],
        volumes: [
          { name: 'shared', emptyDir: {} },
          { name: 'config', configMap: { name: 'settings' } },
          { name: 'secret', secret: { secretName: 'password', defaultMode: 0o400 } },
          { name: 'info', downwardAPI: { items: [{ path: 'name', fieldRef: { fieldPath: 'metadata.name' } }] } },
        ],
      }),
    );
    await untilPhase(stack, 'volumes', 'Succeeded');
    expect(await kubectl(['-n', stack.namespace, 'logs', 'volumes'])).toBe(
      `shared\nhello\nopen sesame\nvolumes\nhello ${stack.nodeName}\n`,
    );
    expect(stack.log()).not.toContain('open sesame');
  });

  test('a GPU is asked of Slurm and seen in the container', async () => {
    await apply(
      stack.namespace,
      podFor(stack, 'gpu', '', {
        containers: [
          shell('c', 'echo "gpus: $CUDA_VISIBLE_DEVICES"; sleep 4', {
            resources: { limits: { 'nvidia.com/gpu': '2' } },
          }),
        ],
      }),
    );
    const pod = await untilPhase(stack, 'gpu', 'Running');
    const [job] = await jobsOfPods([pod.metadata?.uid ?? '']);
    expect(await slurm('scontrol', 'show', 'job', '-d', job?.id ?? '')).toMatch(/gpu:.*2/);
    await untilPhase(stack, 'gpu', 'Succeeded');
  });

  test('an unknown container and one that has not started are told apart by kubectl logs', async () => {
    await apply(stack.namespace, podFor(stack, 'silent', 'sleep 3', { initContainers: [shell('prepare', 'sleep 3')] }));
    await until('the init container runs', async () => {
      const pod = await podOf(stack.namespace, 'silent');
      return pod && stateOf(pod, 'prepare').running !== undefined;
    });
    const early = await kubectlOutcome(['-n', stack.namespace, 'logs', 'silent', '-c', 'c']);
    expect(early.stderr).toContain('container "c" in pod "silent" is waiting to start: PodInitializing');
    const unknown = await kubectlOutcome(['-n', stack.namespace, 'logs', 'silent', '-c', 'none']);
    expect(unknown.stderr).toContain('container none is not valid for pod silent');
  });
});
