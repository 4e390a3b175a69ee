import { existsSync } from 'node:fs';
import { mkdir, readdir, readFile, stat, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { InterlinkError } from '../../../src/base/errors.ts';
import { containerLogPath } from '../../../src/contract/job-directory.ts';
import type { FakeContainer } from '../../fakes/fake-runtime.ts';
import { JobBench } from '../../fakes/job-bench.ts';
import { eventsOf, isRunning, stateOf } from '../../fakes/read-records.ts';

describe('a pod that nobody disturbs', () => {
  it('goes from sandbox ready over running and terminated to gone, as golden 001 shows', async () => {
    await using bench = await JobBench.create({
      spec: { containers: [{ name: 'c', command: ['true'] }] },
      scripts: {
        c: ({ output, exit }) => {
          output.stdout.write('hello\n');
          exit(0);
        },
      },
    });
    expect(await bench.run()).toBe(0);
    const records = await bench.records();
    expect(records.map(({ seq }) => seq)).toEqual([1, 2, 3, 4]);
    expect(records.map((record) => [record.status.sandbox, stateOf(record, 'c')])).toEqual([
      ['Ready', 'waiting ContainerCreating'],
      ['Ready', 'running'],
      ['Ready', 'Completed 0'],
      ['Gone', 'Completed 0'],
    ]);
    expect(records.map(({ status }) => status.podIP !== undefined)).toEqual([false, true, true, true]);
    expect(eventsOf(records)).toEqual([
      'Normal Created spec.containers{c} Container created',
      'Normal Started spec.containers{c} Container started',
    ]);
    const [, running, ended] = records.map(({ status }) => status.containers[0]);
    expect(running).toMatchObject({
      ready: true,
      started: true,
      restartCount: 0,
      lastState: {},
      imageID: 'fake://busybox',
    });
    expect(running?.containerID).toMatch(/^process:\/\/[0-9a-f]{64}$/);
    expect(ended).toMatchObject({ ready: false, started: false, containerID: running?.containerID });
    expect(ended?.state?.terminated).toMatchObject({
      startedAt: '2026-11-25T12:00:00Z',
      containerID: running?.containerID,
    });
    expect(ended?.state?.terminated?.signal).toBeUndefined();
    expect(await readFile(containerLogPath(bench.directory, 'c', 0), 'utf8')).toMatch(/^2026-\S+Z stdout F hello\n$/);
  });

  it('runs init containers one after the other, then all containers together', async () => {
    const ends: (() => void)[] = [];
    await using bench = await JobBench.create({
      spec: { initContainers: [{ name: 'i1' }, { name: 'i2' }], containers: [{ name: 'a' }, { name: 'b' }] },
      scripts: { a: ({ exit }) => ends.push(() => exit(0)), b: ({ exit }) => ends.push(() => exit(7)) },
    });
    const done = bench.run();
    await bench.until(isRunning('a', 'b'));
    for (const end of ends) end();
    expect(await done).toBe(7);
    expect(bench.runtime.started.map(({ name }) => name)).toEqual(['i1', 'i2', 'a', 'b']);
    const records = await bench.records();
    const last = records.at(-1)?.status;
    expect(last?.initContainers.map(({ ready }) => ready)).toEqual([true, true]);
    const first = records[0];
    expect(['i1', 'i2', 'a', 'b'].map((name) => stateOf(first, name))).toEqual(
      Array(4).fill('waiting PodInitializing'),
    );
    expect(records.find((record) => stateOf(record, 'i1') === 'running')?.status.initContainers[0]).toMatchObject({
      started: true,
      ready: false,
    });
  });

  it('starts containers in the order of the spec, and one that cannot start does not hold up the next', async () => {
    const names = ['a', 'b', 'c', 'd', 'e'];
    await using bench = await JobBench.create({
      spec: { containers: names.map((name) => ({ name, image: name })) },
      scripts: Object.fromEntries(names.map((name) => [name, () => {}])),
    });
    bench.runtime.faults.set('b', { reason: 'ErrImagePull', message: 'refused' });
    const done = bench.run();
    await bench.until(isRunning('a', 'c', 'd', 'e'));
    expect(bench.runtime.started.map(({ name }) => name)).toEqual(['a', 'c', 'd', 'e']);
    await bench.terminate(0);
    await done;
  });

  it('ends after a failed init container and leaves what follows waiting, as golden 021 shows', async () => {
    await using bench = await JobBench.create({
      spec: { initContainers: [{ name: 'i1' }, { name: 'i2' }], containers: [{ name: 'main' }] },
      scripts: { i1: ({ exit }) => exit(5) },
    });
    expect(await bench.run()).toBe(5);
    const last = (await bench.records()).at(-1);
    expect([last?.status.sandbox, ...['i1', 'i2', 'main'].map((name) => stateOf(last, name))]).toEqual([
      'Gone',
      'Error 5',
      'waiting PodInitializing',
      'waiting PodInitializing',
    ]);
    expect(last?.status.initContainers[0]?.ready).toBe(false);
  });

  it('returns the code of the container that failed first', async () => {
    const ends: ((code: number) => void)[] = [];
    const script = ({ exit }: FakeContainer) => ends.push(exit);
    await using bench = await JobBench.create({
      spec: { containers: [{ name: 'a' }, { name: 'b' }] },
      scripts: { a: script, b: script },
    });
    const done = bench.run();
    await bench.until(isRunning('a', 'b'));
    ends[1]?.(9);
    await bench.until((records) => stateOf(records.at(-1), 'b') === 'Error 9');
    ends[0]?.(3);
    expect(await done).toBe(9);
  });

  it('leaves no volume behind', async () => {
    await using bench = await JobBench.create({
      spec: {
        containers: [{ name: 'c', volumeMounts: [{ name: 's', mountPath: '/s' }] }],
        volumes: [
          { name: 's', secret: { secretName: 'x' } },
          { name: 'e', emptyDir: {} },
        ],
      },
      bundle: { secrets: [{ metadata: { name: 'x' }, data: { k: 'dg==' } }] },
      scripts: {
        c: async ({ plan, exit }) => {
          const source = plan.mounts.find(({ target }) => target === '/s')?.source ?? '';
          exit((await readFile(join(source, 'k'), 'utf8')) === 'v' ? 0 : 1);
        },
      },
    });
    expect(await bench.run()).toBe(0);
    const source = bench.runtime.started[0]?.mounts.find(({ target }) => target === '/s')?.source ?? '';
    expect(existsSync(source)).toBe(false);
    expect(existsSync(bench.directory.volumes)).toBe(false);
  });
});

describe('a second runner of the same job', () => {
  it('starts nothing, touches nothing but its log, and ends well', async () => {
    await using bench = await JobBench.create({ spec: { containers: [{ name: 'c' }] } });
    expect(await bench.run()).toBe(0);
    const before = await readFile(bench.directory.events, 'utf8');
    expect(await bench.run()).toBe(0);
    expect(bench.runtime.started).toHaveLength(1);
    expect(await readFile(bench.directory.events, 'utf8')).toBe(before);
    expect(await readFile(bench.directory.runnerLog, 'utf8')).toContain('another runner has taken this job');
  });

  it('is refused even when both start at once: one of twenty runs the pod', async () => {
    await using bench = await JobBench.create({ spec: { containers: [{ name: 'c' }] } });
    await Promise.all(Array.from({ length: 20 }, () => bench.run()));
    expect(bench.runtime.started).toHaveLength(1);
  });

  it('does not start user code when the first one was killed (fault: a claim without records)', async () => {
    await using bench = await JobBench.create({ spec: { containers: [{ name: 'c' }] } });
    await mkdir(bench.directory.claim);
    expect(await bench.run()).toBe(0);
    expect(bench.runtime.started).toEqual([]);
    expect(existsSync(bench.directory.events)).toBe(false);
  });
});

describe('a file system that is full (fault: ENOSPC)', () => {
  it('does not keep the pod from its end', async () => {
    await using bench = await JobBench.create({
      spec: { containers: [{ name: 'c' }] },
      scripts: { c: ({ exit }) => exit(6) },
    });
    await symlink('/dev/full', bench.directory.events);
    expect(await bench.run()).toBe(6);
    expect(await readFile(bench.directory.runnerLog, 'utf8')).toContain('records cannot be written');
  });
});

describe('what keeps a container from starting', () => {
  it('ends it with StartError and 128 when the program cannot be executed', async () => {
    await using bench = await JobBench.create({ spec: { containers: [{ name: 'c' }] } });
    bench.runtime.startErrors.set(
      'c',
      new InterlinkError('Invalid', 'exec: "/no": no such file', { code: 'StartError' }),
    );
    expect(await bench.run()).toBe(128);
    const records = await bench.records();
    const status = records.at(-1)?.status.containers[0];
    expect(status?.state?.terminated).toMatchObject({
      reason: 'StartError',
      exitCode: 128,
      message: 'exec: "/no": no such file',
      startedAt: '1970-01-01T00:00:00Z',
      finishedAt: '2026-11-25T12:00:00Z',
    });
    expect(status?.containerID).toMatch(/^process:\/\/[0-9a-f]{64}$/);
    expect(eventsOf(records)).toEqual([
      'Normal Created spec.containers{c} Container created',
      'Warning Failed spec.containers{c} Error: exec: "/no": no such file',
    ]);
  });

  it('waits for an image that is refused, backs off and starts once it is there, as golden 052 shows', async () => {
    await using bench = await JobBench.create({ spec: { containers: [{ name: 'c', image: 'r/i:1' }] } });
    bench.runtime.faults.set('r/i:1', { reason: 'ErrImagePull', message: 'connection refused' });
    const done = bench.run();
    await bench.until((records) => stateOf(records.at(-1), 'c') === 'waiting ErrImagePull');
    await bench.clock.advance(3_000);
    const records = await bench.until((all) => stateOf(all.at(-1), 'c') === 'waiting ImagePullBackOff');
    expect(records.at(-1)?.status.podIP).toBeDefined();
    expect(records.at(-1)?.status.containers[0]?.state?.waiting?.message).toBe(
      'Back-off pulling image "r/i:1": ErrImagePull: connection refused',
    );
    expect(eventsOf(records)).toEqual([
      'Normal Pulling spec.containers{c} Pulling image "r/i:1"',
      'Warning Failed spec.containers{c} Failed to pull image "r/i:1": connection refused',
      'Warning Failed spec.containers{c} Error: ErrImagePull',
      'Normal BackOff spec.containers{c} Back-off pulling image "r/i:1"',
      'Warning Failed spec.containers{c} Error: ImagePullBackOff',
    ]);
    bench.runtime.faults.delete('r/i:1');
    await bench.clock.advance(6_000);
    expect(bench.runtime.resolved).toHaveLength(1);
    await bench.clock.advance(1_000);
    expect(await done).toBe(0);
  });

  it('shows registries the pull secrets of the pod, which are gone from the job directory by then', async () => {
    const login = JSON.stringify({ auths: { 'r.site': { username: 'me', password: 'hush' } } });
    const secret = { metadata: { name: 's' }, data: { '.dockerconfigjson': Buffer.from(login).toString('base64') } };
    const spec = { containers: [{ name: 'c', image: 'r.site/i:1' }] };
    await using bench = await JobBench.create({ spec, bundle: { imagePullSecrets: [secret] } });
    expect(await readFile(bench.directory.spec, 'utf8')).toContain(secret.data['.dockerconfigjson']);
    bench.runtime.faults.set('r.site/i:1', { reason: 'ErrImagePull', message: 'away' });
    const done = bench.run();
    await bench.until((records) => stateOf(records.at(-1), 'c') === 'waiting ErrImagePull');
    expect(bench.runtime.logins).toEqual([['me:hush']]);
    const left = await readFile(bench.directory.spec, 'utf8');
    expect(JSON.parse(left)).toMatchObject({ version: 1, bundle: { pod: { spec: { containers: [{ name: 'c' }] } } } });
    expect(left).not.toContain('Secrets');
    expect((await stat(bench.directory.spec)).mode & 0o777).toBe(0o600);
    const better = Buffer.from(login.replace('hush', 'better')).toString('base64');
    const changed = [{ metadata: { name: 's' }, data: { '.dockerconfigjson': better } }];
    await writeFile(bench.directory.pullSecrets, JSON.stringify(changed));
    bench.runtime.faults.clear();
    await bench.clock.advance(10_000);
    expect(await done).toBe(0);
    expect(bench.runtime.logins.at(-1)).toEqual(['me:better']);
    expect((await readdir(bench.directory.root)).filter((name) => name.startsWith('pull-secrets'))).toEqual([]);
  });

  it.each([
    [
      'ErrImageNeverPull',
      'not present',
      [
        'Warning ErrImageNeverPull spec.containers{c} not present',
        'Warning Failed spec.containers{c} Error: ErrImageNeverPull',
      ],
    ],
    [
      'InvalidImageName',
      'bad name',
      [
        'Warning InspectFailed spec.containers{c} bad name',
        'Warning Failed spec.containers{c} Error: InvalidImageName',
      ],
    ],
  ] as const)('waits with %s and tries again for ever', async (reason, message, expected) => {
    await using bench = await JobBench.create({ spec: { containers: [{ name: 'c' }] } });
    bench.runtime.faults.set('busybox', { reason, message });
    const done = bench.run();
    await bench.until((records) => stateOf(records.at(-1), 'c') === `waiting ${reason}`);
    for (const seconds of [10, 20, 40]) {
      await bench.clock.advance(seconds * 1000);
      await bench.until(() => bench.clock.sleeping > 0);
    }
    expect(bench.runtime.resolved.length).toBe(4);
    // The same fault is told once.
    expect(eventsOf(await bench.records())).toEqual(expected);
    await bench.terminate(30);
    expect(await done).toBe(0);
    const last = (await bench.records()).at(-1);
    expect([last?.status.sandbox, stateOf(last, 'c')]).toEqual(['Gone', 'ContainerStatusUnknown 137']);
  });

  it('waits with CreateContainerConfigError when the runtime cannot give what the pod asks for', async () => {
    await using bench = await JobBench.create({ spec: { containers: [{ name: 'c' }] } });
    bench.runtime.startErrors.set(
      'c',
      new InterlinkError('Invalid', 'container has runAsNonRoot and image will run as root', {
        code: 'CreateContainerConfigError',
      }),
    );
    const done = bench.run();
    const records = await bench.until((all) => stateOf(all.at(-1), 'c') === 'waiting CreateContainerConfigError');
    expect(eventsOf(records)).toEqual([
      'Warning Failed spec.containers{c} Error: container has runAsNonRoot and image will run as root',
    ]);
    await bench.terminate(0);
    await done;
  });

  it('fails the pod when its bundle lacks a Secret (fault: incomplete bundle)', async () => {
    await using bench = await JobBench.create({
      spec: { containers: [{ name: 'c' }], volumes: [{ name: 'v', secret: { secretName: 'gone' } }] },
    });
    expect(await bench.run()).toBe(1);
    const records = await bench.records();
    expect(records.at(-1)?.status).toMatchObject({ sandbox: 'Gone', phase: 'Failed', reason: 'FailedMount' });
    expect(records.at(-1)?.status.message).toContain('Secret gone of volume v');
    expect(bench.runtime.started).toEqual([]);
  });

  it('fails the pod when this worker has no such runtime (fault: probe refuses)', async () => {
    await using bench = await JobBench.create({ spec: { containers: [{ name: 'c' }] } });
    bench.runtime.probeError = new InterlinkError('Unsupported', 'user namespaces are off');
    expect(await bench.run()).toBe(1);
    expect((await bench.records()).at(-1)?.status).toMatchObject({
      phase: 'Failed',
      reason: 'FailedCreatePodSandBox',
      message: 'user namespaces are off',
    });
  });
});

describe('a directory that holds no job', () => {
  it.each([
    ['not json', 'is not JSON'],
    ['{"version":2}', 'version 2'],
    ['{"version":1}', 'no bundle'],
  ])('is refused: %s', async (text, message) => {
    await using bench = await JobBench.create({ spec: { containers: [{ name: 'c' }] } });
    await writeFile(bench.directory.spec, text);
    await expect(bench.run()).rejects.toThrow(message);
    expect(existsSync(bench.directory.claim)).toBe(false);
  });

  it.each(['../x', 'A', '', 'a/b'])('is refused with the container name %j', async (name) => {
    await using bench = await JobBench.create({ spec: { containers: [{ name }] } });
    await expect(bench.run()).rejects.toThrow('container name');
  });
});
