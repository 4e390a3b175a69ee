import { stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'vitest';
import type { WatchEvent } from '../../../src/contract/sidecar.ts';
import { bundleOf, isGone, ScriptedSlurm, shellPod, untilStatus } from '../../fakes/scripted-slurm/scripted-slurm.ts';

const call = { signal: new AbortController().signal };
test.concurrent('a pod becomes one job and its status follows the runner to the end', async ({ expect }) => {
  await using slurm = await ScriptedSlurm.create();
  await using sidecar = await slurm.open();
  const { engine } = sidecar;
  const pod = shellPod('exit 3');
  const { jobId } = await engine.create(bundleOf(pod), call);
  const status = await untilStatus(engine, pod, isGone);
  expect(status).toMatchObject({ jobId, nodeName: 'n1', sandbox: 'Gone' });
  expect(status.containers[0]?.state?.terminated).toMatchObject({ exitCode: 3, reason: 'Error' });
  expect(await slurm.jobsOf(pod.metadata?.uid ?? '')).toEqual([jobId]);
});

test.concurrent('repeated and concurrent creates of one pod share one submission', async ({ expect }) => {
  await using slurm = await ScriptedSlurm.create();
  await using sidecar = await slurm.open();
  const { engine } = sidecar;
  const pod = shellPod('true');
  const results = await Promise.all(Array.from({ length: 20 }, () => engine.create(bundleOf(pod), call)));
  results.push(await engine.create(bundleOf(structuredClone(pod)), call));
  expect(new Set(results.map(({ jobId }) => jobId)).size).toBe(1);
  expect(await slurm.jobsOf(pod.metadata?.uid ?? '')).toHaveLength(1);
});

test.concurrent('another content under a known UID is a conflict, another token or label is not', async ({
  expect,
}) => {
  await using slurm = await ScriptedSlurm.create();
  await using sidecar = await slurm.open();
  const { engine } = sidecar;
  const pod = shellPod('true');
  await engine.create(bundleOf(pod), call);
  const relabelled = { ...pod, metadata: { ...pod.metadata, labels: { a: 'b' }, resourceVersion: '2' } };
  await engine.create(
    { ...bundleOf(relabelled), projectedVolumes: [{ metadata: { name: 'token' }, data: { t: '2' } }] },
    call,
  );
  const changed = structuredClone(pod);
  if (changed.spec?.containers[0]) changed.spec.containers[0].image = 'other';
  await expect(engine.create(bundleOf(changed), call)).rejects.toMatchObject({ kind: 'Conflict' });
});

test.concurrent('the reason why a job waits shows in its containers', async ({ expect }) => {
  await using slurm = await ScriptedSlurm.create();
  await slurm.hold();
  await using sidecar = await slurm.open();
  const { engine } = sidecar;
  const pod = shellPod('true');
  await engine.create(bundleOf(pod), call);
  const status = await untilStatus(engine, pod, ({ reason }) => reason === 'Priority');
  expect(status.containers[0]?.state?.waiting).toMatchObject({ reason: 'Priority' });
  expect(status.sandbox).toBe('Waiting');
});

test.concurrent('all pods are asked about in one command per interval, and none when nothing is open', async ({
  expect,
}) => {
  await using slurm = await ScriptedSlurm.create();
  await using sidecar = await slurm.open({ change: { pollIntervalSeconds: 0.3 } });
  const { engine } = sidecar;
  const pods = Array.from({ length: 10 }, () => shellPod('sleep 1'));
  await Promise.all(pods.map((pod) => engine.create(bundleOf(pod), call)));
  const started = performance.now();
  const before = (await slurm.calls('squeue')).length;
  await Promise.all(pods.map((pod) => untilStatus(engine, pod, isGone)));
  const intervals = (performance.now() - started) / 300;
  expect((await slurm.calls('squeue')).length - before).toBeLessThanOrEqual(intervals + 1);
  // Until every job has left the queue; then silence.
  await new Promise((resolve) => setTimeout(resolve, 600));
  const quiet = (await slurm.calls('squeue')).length;
  await new Promise((resolve) => setTimeout(resolve, 700));
  expect((await slurm.calls('squeue')).length).toBe(quiet);
});

test.concurrent.for(['fail', 'hang', 'garbage', 'error0', 'half'])(
  'squeue that %s changes no pod',
  async (fault, { expect }) => {
    await using slurm = await ScriptedSlurm.create();
    await using sidecar = await slurm.open({ change: { lostGraceSeconds: 0.2, commandTimeoutSeconds: 1 } });
    const { engine } = sidecar;
    const pod = shellPod('until [ -f go ]; do sleep 0.1; done; exit 7');
    await engine.create(bundleOf(pod), call);
    await untilStatus(engine, pod, ({ sandbox }) => sandbox === 'Ready');
    await slurm.fault('squeue', fault);
    await slurm.purge();
    await new Promise((resolve) => setTimeout(resolve, 1_000));
    const [during] = await engine.status([pod]);
    expect(`${during?.sandbox} ${during?.message ?? ''}`).toBe('Ready ');
    await writeFile(join(sidecar.stateDirectory, 'jobs', pod.metadata?.uid ?? '', 'go'), '');
    // The runner's record is read even while the queue is dumb.
    const status = await untilStatus(engine, pod, isGone);
    expect(status.containers[0]?.state?.terminated?.exitCode).toBe(7);
  },
);

test.concurrent('a job that leaves every list is lost only after the grace time, with the evidence', async ({
  expect,
}) => {
  await using slurm = await ScriptedSlurm.create();
  await using sidecar = await slurm.open({ change: { lostGraceSeconds: 1 } });
  const { engine } = sidecar;
  const pod = shellPod('sleep 30');
  const { jobId } = await engine.create(bundleOf(pod), call);
  await untilStatus(engine, pod, ({ sandbox }) => sandbox === 'Ready');
  await slurm.fault('squeue', 'empty');
  const from = performance.now();
  const status = await untilStatus(engine, pod, isGone);
  expect(performance.now() - from).toBeGreaterThan(1_000);
  expect(status).toMatchObject({ phase: 'Failed', reason: 'JobLost' });
  expect(status.message).toContain(`job ${jobId}`);
  expect(status.containers[0]?.state?.terminated).toMatchObject({ exitCode: 137 });
});

test.concurrent('accounting tells the end of a job that the queue has forgotten', async ({ expect }) => {
  await using slurm = await ScriptedSlurm.create();
  await slurm.fault('sacct', 'on');
  await using sidecar = await slurm.open({ change: { lostGraceSeconds: 60, pollIntervalSeconds: 1 } });
  const { engine } = sidecar;
  const pod = shellPod('exit 9 # vanish');
  const { jobId } = await engine.create(bundleOf(pod), call);
  await expect.poll(() => slurm.stateOf(jobId), { timeout: 8_000 }).toBe('FAILED');
  await slurm.purge();
  const status = await untilStatus(engine, pod, isGone);
  expect(status.containers[0]?.state?.terminated).toMatchObject({ exitCode: 9 });
  expect(status.containers[0]?.state?.terminated?.message).toContain('Slurm FAILED');
});

test.concurrent.for<[string, object, object]>([
  ['TIMEOUT', { exitCode: 143, reason: 'Error' }, { phase: 'Failed', reason: 'DeadlineExceeded' }],
  ['OUT_OF_MEMORY', { exitCode: 137, reason: 'OOMKilled' }, {}],
  ['NODE_FAIL', { exitCode: 137, reason: 'Error' }, { phase: 'Failed', reason: 'NodeLost' }],
  ['PREEMPTED', { exitCode: 143, reason: 'Error' }, { phase: 'Failed', reason: 'Preempted' }],
])(
  'a job that ends as %s without its runner ends the pod with the cause',
  async ([state, terminated, pod], { expect }) => {
    await using slurm = await ScriptedSlurm.create();
    await slurm.endAs(state);
    await using sidecar = await slurm.open();
    const { engine } = sidecar;
    const wanted = shellPod('true # vanish');
    await engine.create(bundleOf(wanted), call);
    const status = await untilStatus(engine, wanted, isGone);
    expect(status).toMatchObject(pod);
    expect(status.containers[0]?.state?.terminated).toMatchObject(terminated);
    expect(status.containers[0]?.state?.terminated?.message).toContain(`Slurm ${state}`);
  },
);

test.concurrent.for([
  ['PREEMPTED', 'Preempted', 'Slurm PREEMPTED'],
  ['FAILED', 'Terminated', 'SIGTERM'],
])(
  'a job that ends as %s and whose runner knows no cause ends the pod with %s, once',
  async ([state, reason, message], { expect }) => {
    await using slurm = await ScriptedSlurm.create();
    await slurm.endAs(state as string);
    await using sidecar = await slurm.open();
    const { engine } = sidecar;
    const wanted = shellPod('true # unexplained');
    const seen: string[] = [];
    await engine.create(bundleOf(wanted), call);
    const status = await untilStatus(engine, wanted, (one) => {
      if (one.reason) seen.push(one.reason);
      return isGone(one);
    });
    expect(status).toMatchObject({ phase: 'Failed', reason });
    expect(status.message).toContain(message);
    // The containers keep what the runner said of them.
    expect(status.containers[0]?.state?.terminated).toMatchObject({ exitCode: 0, reason: 'Completed' });
    expect(seen.filter((one) => one === 'Terminated' || one === 'Preempted')).toEqual([reason]);
  },
);

test.concurrent("a job that Slurm has forgotten ends its pod with the runner's word, without the wait for lost jobs", async ({
  expect,
}) => {
  await using slurm = await ScriptedSlurm.create();
  await using sidecar = await slurm.open({ change: { lostGraceSeconds: 60 } });
  const { engine } = sidecar;
  const pod = shellPod('sleep 1 # unexplained');
  await engine.create(bundleOf(pod), call);
  await untilStatus(engine, pod, ({ sandbox }) => sandbox === 'Ready');
  await slurm.fault('squeue', 'empty');
  expect(await untilStatus(engine, pod, isGone)).toMatchObject({ phase: 'Failed', reason: 'Terminated' });
});

test.concurrent('a job that succeeds while its runner never told the end is not taken for a success', async ({
  expect,
}) => {
  await using slurm = await ScriptedSlurm.create();
  await using sidecar = await slurm.open();
  const { engine } = sidecar;
  const pod = shellPod('true # vanish');
  await engine.create(bundleOf(pod), call);
  const status = await untilStatus(engine, pod, isGone);
  expect(status).toMatchObject({ phase: 'Failed', reason: 'JobLost' });
  expect(status.containers[0]?.state?.terminated?.exitCode).toBe(137);
});

test.concurrent('deleting answers at once and the runner gets its grace period', async ({ expect }) => {
  await using slurm = await ScriptedSlurm.create();
  await using sidecar = await slurm.open();
  const { engine } = sidecar;
  const pod = shellPod('sleep 30');
  const { jobId } = await engine.create(bundleOf(pod), call);
  await untilStatus(engine, pod, ({ sandbox }) => sandbox === 'Ready');
  const from = performance.now();
  await engine.delete(pod, call);
  expect(performance.now() - from).toBeLessThan(1_500);
  const status = await untilStatus(engine, pod, isGone);
  expect(status.containers[0]?.state?.terminated?.exitCode).toBe(143);
  await expect.poll(() => slurm.stateOf(jobId), { timeout: 5_000 }).toMatch(/FAILED|CANCELLED/);
  await expect(engine.create(bundleOf(pod), call)).rejects.toMatchObject({ kind: 'Conflict' });
});

test.concurrent('a pending job is cancelled at once', async ({ expect }) => {
  await using slurm = await ScriptedSlurm.create();
  await slurm.hold();
  await using sidecar = await slurm.open();
  const { engine } = sidecar;
  const pod = shellPod('true');
  const { jobId } = await engine.create(bundleOf(pod), call);
  await engine.delete(pod, call);
  const status = await untilStatus(engine, pod, isGone);
  expect(status.containers[0]?.state?.terminated).toMatchObject({ exitCode: 137, reason: 'ContainerStatusUnknown' });
  expect(await slurm.stateOf(jobId)).toBe('CANCELLED');
  await slurm.release();
  expect(await slurm.runsOf(pod.metadata?.uid ?? '')).toBe(0);
});

test.concurrent('a pod that ignores SIGTERM is cancelled after grace period and margin', async ({ expect }) => {
  await using slurm = await ScriptedSlurm.create();
  await using sidecar = await slurm.open();
  const { engine } = sidecar;
  // The runner itself is made deaf, as if it hung.
  const pod = shellPod('kill -STOP $PPID; sleep 30', ({ spec }) => {
    if (spec) spec.terminationGracePeriodSeconds = 0;
  });
  const { jobId } = await engine.create(bundleOf(pod), call);
  await untilStatus(engine, pod, ({ sandbox }) => sandbox === 'Ready');
  await engine.delete(pod, call);
  await untilStatus(engine, pod, isGone);
  expect(await slurm.stateOf(jobId)).toBe('CANCELLED');
});

test.concurrent('a pod deleted before anybody created it is refused afterwards, also after a restart', async ({
  expect,
}) => {
  await using slurm = await ScriptedSlurm.create();
  const pod = shellPod('true');
  {
    await using sidecar = await slurm.open();
    await sidecar.engine.delete(pod, call);
    await expect(sidecar.engine.create(bundleOf(pod), call)).rejects.toMatchObject({ kind: 'Conflict' });
  }
  await using sidecar = await slurm.open();
  await expect(sidecar.engine.create(bundleOf(pod), call)).rejects.toMatchObject({ kind: 'Conflict' });
  expect(await slurm.jobsOf(pod.metadata?.uid ?? '')).toEqual([]);
});

test.concurrent('a pod deleted while it is being submitted leaves no job', async ({ expect }) => {
  await using slurm = await ScriptedSlurm.create();
  await using sidecar = await slurm.open();
  const { engine } = sidecar;
  const pods = Array.from({ length: 12 }, () => shellPod('sleep 20'));
  await Promise.all(
    pods.map(async (pod, index) => {
      const created = engine.create(bundleOf(pod), call).catch(() => {});
      await new Promise((resolve) => setTimeout(resolve, index * 10));
      await engine.delete(pod, call);
      await created;
    }),
  );
  for (const pod of pods) {
    await expect.poll(async () => (await engine.status([pod]))[0]?.sandbox ?? 'Gone', { timeout: 8_000 }).toBe('Gone');
    for (const id of await slurm.jobsOf(pod.metadata?.uid ?? ''))
      await expect.poll(() => slurm.stateOf(id), { timeout: 8_000 }).not.toMatch(/PENDING|RUNNING/);
  }
});

test.concurrent('after its retention a deleted pod is forgotten, its directory removed and the watchers told', async ({
  expect,
}) => {
  await using slurm = await ScriptedSlurm.create();
  await using sidecar = await slurm.open({ change: { retentionSeconds: 0 } });
  const { engine, stateDirectory } = sidecar;
  const pod = shellPod('true');
  const uid = pod.metadata?.uid ?? '';
  const events: WatchEvent[] = [];
  const watching = new AbortController();
  const watched = (async () => {
    for await (const event of engine.watch({ signal: watching.signal })) events.push(event);
  })().catch(() => {});
  await engine.create(bundleOf(pod), call);
  await untilStatus(engine, pod, isGone);
  await engine.delete(pod, call);
  await expect.poll(() => events.at(-1), { timeout: 15_000 }).toEqual({ type: 'DELETED', uid });
  watching.abort();
  await watched;
  expect(events[0]).toEqual({ type: 'SNAPSHOT', items: [] });
  await expect(stat(join(stateDirectory, 'jobs', uid))).rejects.toMatchObject({ code: 'ENOENT' });
  await expect(engine.create(bundleOf(pod), call)).rejects.toMatchObject({ kind: 'Conflict' });
}, 30_000);

test.concurrent('files are private and the directory of a job holds no secret once the job has left', async ({
  expect,
}) => {
  await using slurm = await ScriptedSlurm.create();
  await using sidecar = await slurm.open();
  const { engine, stateDirectory } = sidecar;
  const pod = shellPod('sleep 0.5');
  await engine.create(bundleOf(pod), call);
  const root = join(stateDirectory, 'jobs', pod.metadata?.uid ?? '');
  expect((await stat(stateDirectory)).mode & 0o777).toBe(0o700);
  expect((await stat(root)).mode & 0o777).toBe(0o700);
  expect((await stat(join(root, 'pod.json'))).mode & 0o777).toBe(0o600);
  expect((await stat(join(stateDirectory, 'journal.sqlite'))).mode & 0o777).toBe(0o600);
});

test.concurrent('two sidecars cannot share a state directory', async ({ expect }) => {
  await using slurm = await ScriptedSlurm.create();
  await using sidecar = await slurm.open();
  expect(sidecar.stateDirectory).toBeTruthy();
  await expect(slurm.open()).rejects.toMatchObject({ kind: 'Conflict', code: 'journal.locked' });
});

test.concurrent("logs are those of the container, with the kubelet's words where there are none", async ({
  expect,
}) => {
  await using slurm = await ScriptedSlurm.create();
  await using sidecar = await slurm.open();
  const { engine } = sidecar;
  await slurm.hold();
  const pod = shellPod('true');
  const { name = '', namespace = '', uid = '' } = pod.metadata ?? {};
  const request = { name, namespace, uid, container: 'c', options: {} };
  await expect(engine.logs(request, call)).rejects.toMatchObject({ kind: 'NotFound' });
  await engine.create(bundleOf(pod), call);
  await expect(engine.logs(request, call)).rejects.toThrow(`container "c" in pod "${name}" is waiting to start`);
  await slurm.release();
  await untilStatus(engine, pod, isGone);
  await expect(engine.logs({ ...request, container: 'd' }, call)).rejects.toMatchObject({ kind: 'NotFound' });
  await expect(engine.logs({ ...request, options: { previous: true } }, call)).rejects.toThrow(
    `previous terminated container "c" in pod "${name}" not found`,
  );
  let text = '';
  for await (const chunk of await engine.logs(request, call)) text += Buffer.from(chunk).toString();
  expect(text).toBe('ran\n');
});
