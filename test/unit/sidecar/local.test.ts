import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, onTestFinished, test } from 'vitest';
import { systemClock } from '../../../src/base/clock.ts';
import { localCommandRunner } from '../../../src/base/command.ts';
import { silentLogger } from '../../../src/base/logger.ts';
import { sidecarConfig } from '../../../src/sidecar/config.ts';
import { createLocalSidecar } from '../../../src/sidecar/create-local-sidecar.ts';
import { type OpenedSidecar, openSidecar } from '../../../src/sidecar/open-sidecar.ts';
import { bundleOf, isGone, RUNNER, shellPod, untilStatus } from '../../fakes/scripted-slurm/scripted-slurm.ts';

const call = { signal: new AbortController().signal };
let directory: string;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'interlink-local-'));
});
afterEach(async () => {
  const jobs = join(directory, 'state', 'jobs');
  // What a failed test has left running.
  for (const uid of await readdir(jobs).catch(() => [])) {
    const leader = Number(await readFile(join(jobs, uid, 'job.pid'), 'utf8').catch(() => '0'));
    if (leader > 1 && isAlive(leader)) process.kill(-leader, 'SIGKILL');
  }
  await rm(directory, { recursive: true, force: true, maxRetries: 10, retryDelay: 50 });
});

function open(local: object = {}): Promise<OpenedSidecar> {
  return openSidecar({
    kind: 'local',
    config: sidecarConfig.parse({
      stateDirectory: join(directory, 'state'),
      pollIntervalSeconds: 0.2,
      stopMarginSeconds: 1,
      local,
    }),
    clock: systemClock,
    logger: silentLogger,
    commands: localCommandRunner,
    environment: { PATH: '/usr/bin:/bin' },
    version: '0',
    command: [RUNNER],
  });
}

const processOf = (pod: { metadata?: { uid?: string } }): string =>
  join(directory, 'state', 'jobs', pod.metadata?.uid ?? '', 'job.pid');
const isAlive = (pid: number): boolean => {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
};

test('a pod is a process that outlives the sidecar and is found again', async () => {
  const pod = shellPod('until [ -f go ]; do sleep 0.05; done; exit 4');
  {
    await using sidecar = await open();
    await sidecar.engine.create(bundleOf(pod), call);
    await untilStatus(sidecar.engine, pod, ({ sandbox }) => sandbox === 'Ready');
  }
  expect(isAlive(Number(await readFile(processOf(pod), 'utf8')))).toBe(true);
  await using sidecar = await open();
  expect((await sidecar.engine.status([pod]))[0]?.sandbox).toBe('Ready');
  await localCommandRunner.run(['touch', join(directory, 'state', 'jobs', pod.metadata?.uid ?? '', 'go')], {
    env: { PATH: '/bin' },
    timeoutMs: 5_000,
  });
  const status = await untilStatus(sidecar.engine, pod, isGone);
  expect(status.containers[0]?.state?.terminated?.exitCode).toBe(4);
});

test('more pods than the limit wait for their turn, also over a restart', async () => {
  const pods = [shellPod('sleep 0.5'), shellPod('sleep 0.1'), shellPod('sleep 0.1')];
  {
    await using sidecar = await open({ maxPods: 1 });
    for (const pod of pods) await sidecar.engine.create(bundleOf(pod), call);
    const status = await untilStatus(sidecar.engine, pods[2] ?? {}, ({ reason }) => reason === 'Resources');
    expect(status.containers[0]?.state?.waiting?.reason).toBe('Resources');
  }
  await using sidecar = await open({ maxPods: 1 });
  for (const pod of pods) {
    const status = await untilStatus(sidecar.engine, pod, isGone);
    expect(status.containers[0]?.state?.terminated?.exitCode).toBe(0);
  }
});

test('a waiting pod that is deleted never starts', async () => {
  await using sidecar = await open({ maxPods: 1 });
  const [first, second] = [shellPod('sleep 0.5'), shellPod('true')];
  await sidecar.engine.create(bundleOf(first), call);
  await sidecar.engine.create(bundleOf(second), call);
  await sidecar.engine.delete(second, call);
  await untilStatus(sidecar.engine, second, isGone);
  await untilStatus(sidecar.engine, first, isGone);
  expect(existsSync(processOf(second))).toBe(false);
});

test('a runner that is killed ends its pod with the signal in the message', async () => {
  await using sidecar = await open();
  const pod = shellPod('sleep 30');
  await sidecar.engine.create(bundleOf(pod), call);
  await untilStatus(sidecar.engine, pod, ({ sandbox }) => sandbox === 'Ready');
  const leader = Number(await readFile(processOf(pod), 'utf8'));
  expect(leader).toBeGreaterThan(1);
  process.kill(-leader, 'SIGKILL');
  const status = await untilStatus(sidecar.engine, pod, isGone);
  expect(status.containers[0]?.state?.terminated).toMatchObject({ exitCode: 137 });
  expect(status.containers[0]?.state?.terminated?.message).toContain('SIGKILL');
});

test('a resource that this machine does not count is refused by name', async () => {
  await using sidecar = await open();
  const pod = shellPod('true');
  const [container] = pod.spec?.containers ?? [];
  if (container) container.resources = { limits: { 'nvidia.com/gpu': '1', cpu: '1', 'ephemeral-storage': '1Gi' } };
  await expect(sidecar.engine.create(bundleOf(pod), call)).rejects.toMatchObject({
    kind: 'Invalid',
    message: 'the pod asks for nvidia.com/gpu, which this site cannot give; it has cpu, memory, ephemeral-storage',
  });
});

test.each([
  ['cgroup v2', 'cgroup.controllers', 'memory.max'],
  ['cgroup v1', 'memory.limit_in_bytes', 'memory.limit_in_bytes'],
])(
  'a pod whose containers all have a memory limit runs in a cgroup with their sum and the runner, %s',
  async (_, mark, limit) => {
    const cgroup = join(directory, 'cgroup');
    await mkdir(cgroup);
    await writeFile(join(cgroup, mark), '');
    await using sidecar = await open({ cgroup, runnerMemoryMiB: 10 });
    const limited = shellPod('until [ -f go ]; do sleep 0.05; done');
    const spec = { ...limited.spec, containers: [limited.spec?.containers[0], limited.spec?.containers[0]] };
    const resources = { limits: { memory: '24Mi' } };
    const containers = spec.containers.map((container, i) => ({
      name: 'c',
      ...container,
      ...(i > 0 && { name: 'd' }),
      resources,
    }));
    const pod = { ...limited, spec: { ...spec, containers } };
    const free = shellPod('until [ -f go ]; do sleep 0.05; done');
    for (const each of [pod, free]) await sidecar.engine.create(bundleOf(each), call);
    for (const each of [pod, free]) await untilStatus(sidecar.engine, each, ({ sandbox }) => sandbox === 'Ready');
    const own = join(cgroup, `interlink-${pod.metadata?.uid}`);
    expect(await readFile(join(own, limit), 'utf8')).toBe(String((2 * 24 + 10) * 2 ** 20));
    expect(await readFile(join(own, 'cgroup.procs'), 'utf8')).toBe(await readFile(processOf(pod), 'utf8'));
    expect(existsSync(join(cgroup, `interlink-${free.metadata?.uid}`))).toBe(false);
  },
);

test('a pod whose memory limit cannot be set fails with the reason and does not run', async () => {
  const cgroup = join(directory, 'cgroup');
  await mkdir(cgroup);
  await writeFile(join(cgroup, 'memory.limit_in_bytes'), '');
  await using sidecar = await open({ cgroup });
  await rm(cgroup, { recursive: true });
  await writeFile(cgroup, 'in the way');
  const pod = shellPod('true');
  const [container] = pod.spec?.containers ?? [];
  const limited = {
    ...pod,
    spec: { ...pod.spec, containers: [{ name: 'c', ...container, resources: { limits: { memory: '24Mi' } } }] },
  };
  await sidecar.engine.create(bundleOf(limited), call);
  const status = await untilStatus(sidecar.engine, limited, isGone);
  expect(status.containers[0]?.state?.terminated?.message).toContain('see sidecar.local.cgroup');
  expect(existsSync(processOf(limited))).toBe(false);
});

test('a cgroup setting that names no cgroup is refused at start', async () => {
  await expect(open({ cgroup: directory })).rejects.toThrow(/is no cgroup with a memory controller/);
});

test('it offers this machine', async () => {
  await using sidecar = await open({ cpus: 3, memoryMiB: 512 });
  expect((await sidecar.engine.ping(call)).resources).toMatchObject({ cpu: '3', memory: '512Mi' });
});

test('an embedded sidecar leaves neither processes nor files behind', async () => {
  const temporary = process.env.TMPDIR;
  process.env.TMPDIR = directory;
  onTestFinished(() => {
    if (temporary === undefined) delete process.env.TMPDIR;
    else process.env.TMPDIR = temporary;
  });
  const pod = shellPod('sleep 30');
  {
    await using sidecar = await createLocalSidecar({
      runtime: { name: 'process' },
      clock: systemClock,
      logger: silentLogger,
      environment: { PATH: '/usr/bin:/bin' },
      version: '0',
      command: [RUNNER],
    });
    await sidecar.create(bundleOf(pod), call);
    await untilStatus(sidecar, pod, ({ sandbox }) => sandbox === 'Ready');
  }
  expect(await readdir(directory)).toEqual([]);
});
