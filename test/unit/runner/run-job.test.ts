import { existsSync } from 'node:fs';
import { mkdir, readFile, stat, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { InterlinkError } from '../../../src/base/errors.ts';
import { containerLogPath, type RunnerRecord } from '../../../src/contract/job-directory.ts';
import { JobBench } from '../../fakes/job-bench.ts';

const stateOf = (record: RunnerRecord | undefined, name: string): string => {
  const all = [...(record?.status.initContainers ?? []), ...(record?.status.containers ?? [])];
  const state = all.find((one) => one.name === name)?.state;
  if (state?.running) return 'running';
  if (state?.terminated) return `${state.terminated.reason} ${state.terminated.exitCode}`;
  return `waiting ${state?.waiting?.reason}`;
};
const events = (records: readonly RunnerRecord[]): string[] =>
  records
    .flatMap((record) => record.events)
    .map(({ type, reason, message, fieldPath }) => [type, reason, fieldPath ?? '-', message].join(' '));
const isRunning =
  (...names: string[]) =>
  (records: readonly RunnerRecord[]): boolean =>
    names.every((name) => stateOf(records.at(-1), name) === 'running');

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
    expect(events(records)).toEqual([
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
    let together = 0;
    await using bench = await JobBench.create({
      spec: { initContainers: [{ name: 'i1' }, { name: 'i2' }], containers: [{ name: 'a' }, { name: 'b' }] },
      scripts: {
        a: ({ exit }) => {
          together = Math.max(together, bench.runtime.running.size);
          setTimeout(() => exit(0), 5);
        },
        b: ({ exit }) => {
          together = Math.max(together, bench.runtime.running.size);
          setTimeout(() => exit(7), 5);
        },
      },
    });
    expect(await bench.run()).toBe(7);
    expect(bench.runtime.started.map(({ name }) => name)).toEqual(['i1', 'i2', 'a', 'b']);
    expect(together).toBe(2);
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
    await using bench = await JobBench.create({
      spec: { containers: [{ name: 'a' }, { name: 'b' }] },
      scripts: { a: ({ exit }) => setTimeout(() => exit(3), 20), b: ({ exit }) => exit(9) },
    });
    expect(await bench.run()).toBe(9);
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
    expect(events(records)).toEqual([
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
    expect(events(records)).toEqual([
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
    expect(events(await bench.records())).toEqual(expected);
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
    expect(events(records)).toEqual([
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

describe('stopping', () => {
  it('sends SIGTERM, waits the grace and kills, with the event of a kubelet', async () => {
    await using bench = await JobBench.create({
      spec: { containers: [{ name: 'a' }, { name: 'b' }] },
      scripts: {
        a: ({ exit, onSignal }) => onSignal((signal) => signal === 'SIGTERM' && exit(0)),
        b: () => {},
      },
    });
    const done = bench.run();
    await bench.until(isRunning('a', 'b'));
    await bench.terminate(14);
    await bench.until((records) => stateOf(records.at(-1), 'a') === 'Completed 0');
    await bench.clock.advance(13_900);
    expect(bench.runtime.running).toEqual(new Set(['b']));
    await bench.clock.advance(200);
    expect(await done).toBe(137);
    expect(bench.runtime.signals).toEqual(['a SIGTERM', 'b SIGTERM', 'b SIGKILL']);
    const records = await bench.records();
    expect(events(records).filter((line) => line.includes('Killing'))).toEqual([
      'Normal Killing spec.containers{a} Stopping container a',
      'Normal Killing spec.containers{b} Stopping container b',
    ]);
    expect(records.at(-1)?.status.phase).toBeUndefined();
    expect(stateOf(records.at(-1), 'b')).toBe('Error 137');
  });

  it('is shortened by a second request and never lengthened', async () => {
    await using bench = await JobBench.create({ spec: { containers: [{ name: 'c' }] }, scripts: { c: () => {} } });
    const done = bench.run();
    await bench.until(isRunning('c'));
    await bench.terminate(14);
    await bench.until(() => bench.runtime.signals.length === 1);
    await bench.terminate(100);
    await bench.settle();
    await bench.clock.advance(1_500);
    await bench.terminate(1);
    await bench.settle();
    await bench.clock.advance(1_000);
    expect(await done).toBe(137);
    expect(bench.runtime.signals).toEqual(['c SIGTERM', 'c SIGKILL']);
  });

  it('kills at once with a grace of 0', async () => {
    await using bench = await JobBench.create({ spec: { containers: [{ name: 'c' }] }, scripts: { c: () => {} } });
    const done = bench.run();
    await bench.until(isRunning('c'));
    await bench.terminate(0);
    expect(await done).toBe(137);
    expect(bench.runtime.signals).toEqual(['c SIGKILL']);
  });

  it('in an init container starts nothing more', async () => {
    await using bench = await JobBench.create({
      spec: { initContainers: [{ name: 'i' }], containers: [{ name: 'c' }] },
      scripts: { i: ({ exit, onSignal }) => onSignal(() => exit(0)) },
    });
    const done = bench.run();
    await bench.until(isRunning('i'));
    await bench.terminate(5);
    expect(await done).toBe(0);
    expect(bench.runtime.started.map(({ name }) => name)).toEqual(['i']);
  });

  it.each([
    [undefined, 'Terminated'],
    [100, 'DeadlineExceeded'],
    [100_000, 'Terminated'],
  ])('by the batch system alone (time limit %s) fails the pod with %s', async (timeLimitSeconds, reason) => {
    await using bench = await JobBench.create({
      spec: { containers: [{ name: 'c' }], terminationGracePeriodSeconds: 7 },
      job: timeLimitSeconds === undefined ? {} : { timeLimitSeconds },
      scripts: { c: () => {} },
    });
    const done = bench.run();
    await bench.until(isRunning('c'));
    await bench.terminate();
    await bench.until(() => bench.runtime.signals.length > 0);
    await bench.clock.advance(7_000);
    expect(await done).toBe(137);
    expect((await bench.records()).at(-1)?.status).toMatchObject({ phase: 'Failed', reason });
  });

  it('goes by the grace of the pod when the stop request is torn (fault: half a JSON document)', async () => {
    await using bench = await JobBench.create({
      spec: { containers: [{ name: 'c' }], terminationGracePeriodSeconds: 3 },
      scripts: { c: () => {} },
    });
    const done = bench.run();
    await bench.until(isRunning('c'));
    await writeFile(bench.directory.stop, '{"gracePeriodSec');
    await bench.terminate();
    await bench.until(() => bench.runtime.signals.length > 0);
    await bench.clock.advance(3_000);
    expect(await done).toBe(137);
  });

  it('at the active deadline fails the pod with DeadlineExceeded, as golden 127 shows', async () => {
    await using bench = await JobBench.create({
      spec: { containers: [{ name: 'c' }], activeDeadlineSeconds: 3 },
      scripts: { c: ({ exit, onSignal }) => onSignal(() => exit(3)) },
    });
    const done = bench.run();
    await bench.until(isRunning('c'));
    await bench.clock.advance(3_000);
    expect(await done).toBe(3);
    const records = await bench.records();
    expect(records.at(-1)?.status).toMatchObject({
      sandbox: 'Gone',
      phase: 'Failed',
      reason: 'DeadlineExceeded',
      message: 'Pod was active on the node longer than the specified deadline',
    });
    expect(events(records).slice(2)).toEqual([
      'Normal DeadlineExceeded - Pod was active on the node longer than the specified deadline',
      'Normal Killing spec.containers{c} Stopping container c',
    ]);
  });
});

describe('termination messages', () => {
  const write =
    (text: string, code: number, log = '') =>
    async ({ plan, exit, output }: import('../../fakes/fake-runtime.ts').FakeContainer) => {
      const path = plan.mounts.find(({ target }) => target === '/dev/termination-log')?.source ?? '';
      await writeFile(path, text);
      output.stdout.write(log);
      exit(code);
    };
  it('come from the file, at most 4096 bytes, and from the log only after a failure', async () => {
    const lines = Array.from({ length: 100 }, (_, index) => `line ${index + 1}\n`).join('');
    const fallback = { terminationMessagePolicy: 'FallbackToLogsOnError' } as const;
    await using bench = await JobBench.create({
      spec: {
        containers: [
          { name: 'error', ...fallback },
          { name: 'success', ...fallback },
          { name: 'both', ...fallback },
        ],
      },
      scripts: { error: write('', 1, lines), success: write('', 0, 'log\n'), both: write('file\n', 1, 'log\n') },
    });
    await bench.run();
    const messages = (await bench.records()).at(-1)?.status.containers.map(({ state }) => state?.terminated?.message);
    expect(messages).toEqual([lines.slice(lines.indexOf('line 21\n')), undefined, 'file\n']);
  });

  it('are cut at 4096 bytes and the tail of the log at 2048', async () => {
    await using bench = await JobBench.create({
      spec: { containers: [{ name: 'c' }, { name: 'long', terminationMessagePolicy: 'FallbackToLogsOnError' }] },
      scripts: { c: write('m'.repeat(5000), 1), long: write('', 1, `${'x'.repeat(5000)}\n`) },
    });
    await bench.run();
    const messages = (await bench.records()).at(-1)?.status.containers.map(({ state }) => state?.terminated?.message);
    expect(messages).toEqual(['m'.repeat(4096), `${'x'.repeat(2047)}\n`]);
  });

  it('file may be written by every user', async () => {
    let mode = 0;
    await using bench = await JobBench.create({
      spec: { containers: [{ name: 'c' }] },
      scripts: {
        c: async ({ plan, exit }) => {
          mode = (await stat(plan.mounts.find(({ target }) => target === '/dev/termination-log')?.source ?? '')).mode;
          exit(0);
        },
      },
    });
    await bench.run();
    expect(mode & 0o777).toBe(0o666);
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
