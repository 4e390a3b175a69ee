import { readdir, readFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { describe, expect, it } from 'vitest';
import { InterlinkError } from '../../../src/base/errors.ts';
import { containerLogPath, type RunnerRecord } from '../../../src/contract/job-directory.ts';
import type { Script } from '../../fakes/fake-runtime.ts';
import { JobBench } from '../../fakes/job-bench.ts';
import { eventsOf, isRunning, stateOf, statusOf } from '../../fakes/read-records.ts';

/** Ends each attempt with the next code; the last one stays. */
const codes =
  (...list: readonly number[]): Script =>
  ({ plan, output, exit }) => {
    output.stdout.write(`attempt ${plan.attempt}\n`);
    const code = list[plan.attempt];
    if (code !== undefined) exit(code);
  };
const restarts = (records: readonly RunnerRecord[], name = 'c'): number =>
  records.length === 0 ? 0 : statusOf(records.at(-1), name).restartCount;
/** Each state of a container with its restart count, repeats left out. */
const pathOf = (records: readonly RunnerRecord[], name = 'c'): string[] =>
  records
    .map((record) => `#${statusOf(record, name).restartCount} ${stateOf(record, name)}`)
    .filter((state, index, all) => state !== all[index - 1]);

describe('what is started again', () => {
  it.each([
    ['Never', 0, false],
    ['Never', 1, false],
    ['OnFailure', 0, false],
    ['OnFailure', 1, true],
    ['Always', 0, true],
    ['Always', 1, true],
    [undefined, 0, true],
  ] as const)('with %s a container that ended with %i: %s', async (restartPolicy, code, again) => {
    await using bench = await JobBench.create({
      spec: { restartPolicy: restartPolicy as string, containers: [{ name: 'c' }] },
      scripts: { c: codes(code) },
    });
    const done = bench.run();
    if (again) {
      await bench.until((records) => restarts(records) === 1 && isRunning('c')(records));
      await bench.terminate(0);
    }
    expect(await done).toBe(again ? 137 : code);
    expect(bench.runtime.started).toHaveLength(again ? 2 : 1);
  });

  it.each([
    ['Never', 6, 'Error 6'],
    ['OnFailure', 6, 'running'],
    ['Always', 6, 'running'],
    ['Always', 0, 'Completed 0'],
  ] as const)('with %s an init container that ended with %i: then it is %s', async (restartPolicy, code, then) => {
    await using bench = await JobBench.create({
      spec: { restartPolicy, initContainers: [{ name: 'i' }], containers: [{ name: 'c' }] },
      scripts: { i: codes(code), c: () => {} },
    });
    const done = bench.run();
    if (then === 'running') await bench.until((records) => restarts(records, 'i') === 1 && isRunning('i')(records));
    else if (code === 0) await bench.until(isRunning('c'));
    else await done;
    const records = await bench.records();
    expect(stateOf(records.at(-1), 'i')).toBe(then);
    expect(bench.runtime.started.map(({ name }) => name).includes('c')).toBe(code === 0);
    await bench.terminate(0);
    await done;
  });
});

describe('a container that fails again and again', () => {
  it('is restarted at once, then after 10 s and 20 s, as golden 011 shows', async () => {
    await using bench = await JobBench.create({
      spec: { restartPolicy: 'OnFailure', containers: [{ name: 'c' }] },
      scripts: { c: codes(3, 3, 3) },
      metadata: { uid: 'u-1' },
    });
    const done = bench.run();
    await bench.until((records) => stateOf(records.at(-1), 'c') === 'Error 3' && restarts(records) === 1);
    await bench.until((records) => eventsOf(records).some((line) => line.includes('BackOff')));
    await bench.clock.advance(5_000);
    let records = await bench.until((all) => stateOf(all.at(-1), 'c') === 'waiting CrashLoopBackOff');
    expect(statusOf(records.at(-1), 'c')).toMatchObject({
      state: { waiting: { message: 'back-off 10s restarting failed container=c pod=p_default(u-1)' } },
      lastState: { terminated: { exitCode: 3, reason: 'Error' } },
      ready: false,
      started: false,
      restartCount: 1,
    });
    await bench.clock.advance(4_900);
    expect(bench.runtime.started).toHaveLength(2);
    await bench.clock.advance(100);
    await bench.until((all) => restarts(all) === 2 && stateOf(all.at(-1), 'c') === 'Error 3');
    await bench.until(() => bench.clock.sleeping === 1);
    await bench.clock.advance(5_000);
    records = await bench.until((all) => stateOf(all.at(-1), 'c') === 'waiting CrashLoopBackOff');
    expect(statusOf(records.at(-1), 'c').state?.waiting?.message).toContain('back-off 20s ');
    await bench.clock.advance(15_000);
    records = await bench.until((all) => restarts(all) === 3 && isRunning('c')(all));
    expect(pathOf(records)).toEqual([
      '#0 waiting ContainerCreating',
      '#0 running',
      '#0 Error 3',
      '#1 running',
      '#1 Error 3',
      '#1 waiting CrashLoopBackOff',
      '#2 running',
      '#2 Error 3',
      '#2 waiting CrashLoopBackOff',
      '#3 running',
    ]);
    expect(eventsOf(records).filter((line) => line.includes('BackOff'))).toEqual(
      Array(2).fill('Warning BackOff spec.containers{c} Back-off restarting failed container c in pod p_default(u-1)'),
    );
    expect(statusOf(records.at(-1), 'c')).toMatchObject({ ready: true, started: true });
    await bench.terminate(0);
    await done;
  });

  it('keeps the logs of its last two attempts, each in a file of its own', async () => {
    await using bench = await JobBench.create({
      spec: { restartPolicy: 'OnFailure', containers: [{ name: 'c' }] },
      scripts: { c: codes(1, 1, 0) },
    });
    const done = bench.run();
    await bench.until((records) => restarts(records) === 1 && stateOf(records.at(-1), 'c') === 'Error 1');
    await bench.until(() => bench.clock.sleeping > 0);
    await bench.clock.advance(5_000);
    await bench.until((records) => stateOf(records.at(-1), 'c') === 'waiting CrashLoopBackOff');
    await bench.clock.advance(5_000);
    expect(await done).toBe(0);
    const path = (attempt: number): string => containerLogPath(bench.directory, 'c', attempt);
    expect((await readdir(dirname(path(0)))).sort()).toEqual(['1.log', '1.termination', '2.log', '2.termination']);
    expect(await readFile(path(1), 'utf8')).toMatch(/ stdout F attempt 1\n$/);
    expect(await readFile(path(2), 'utf8')).toMatch(/ stdout F attempt 2\n$/);
  });

  it('leaves the other containers alone, and the pod waits for it', async () => {
    await using bench = await JobBench.create({
      spec: { restartPolicy: 'OnFailure', containers: [{ name: 'good' }, { name: 'c' }] },
      scripts: { good: codes(0), c: codes(1, 0) },
    });
    expect(await bench.run()).toBe(0);
    expect(bench.runtime.started.map(({ name, attempt }) => `${name}#${attempt}`)).toEqual(['good#0', 'c#0', 'c#1']);
    const last = (await bench.records()).at(-1);
    expect(statusOf(last, 'c')).toMatchObject({
      restartCount: 1,
      lastState: { terminated: { exitCode: 1 } },
      state: { terminated: { exitCode: 0 } },
    });
  });

  it('that is stopped while it waits is shown with its end, not as waiting', async () => {
    await using bench = await JobBench.create({
      spec: { restartPolicy: 'Always', containers: [{ name: 'c' }] },
      scripts: { c: codes(4, 5) },
    });
    const done = bench.run();
    await bench.until((records) => stateOf(records.at(-1), 'c') === 'Error 5');
    await bench.until(() => bench.clock.sleeping > 0);
    await bench.clock.advance(5_000);
    await bench.until((records) => stateOf(records.at(-1), 'c') === 'waiting CrashLoopBackOff');
    await bench.terminate(30);
    expect(await done).toBe(5);
    const last = (await bench.records()).at(-1);
    expect(last?.status.sandbox).toBe('Gone');
    expect(statusOf(last, 'c')).toMatchObject({
      state: { terminated: { exitCode: 5 } },
      lastState: { terminated: { exitCode: 4 } },
      restartCount: 1,
    });
    expect(bench.runtime.signals).toEqual([]);
  });

  it('shows the fault of its next start with the end before it', async () => {
    let end: ((code: number) => void) | undefined;
    await using bench = await JobBench.create({
      spec: { restartPolicy: 'Always', containers: [{ name: 'c', image: 'r/i' }] },
      scripts: {
        c: ({ exit }) => {
          end ??= exit;
        },
      },
    });
    const done = bench.run();
    await bench.until(() => end !== undefined);
    bench.runtime.faults.set('r/i', { reason: 'ErrImageNeverPull', message: 'gone' });
    end?.(1);
    let records = await bench.until((all) => stateOf(all.at(-1), 'c') === 'waiting ErrImageNeverPull');
    expect(statusOf(records.at(-1), 'c')).toMatchObject({
      restartCount: 0,
      lastState: { terminated: { exitCode: 1 } },
    });
    bench.runtime.faults.clear();
    await bench.clock.advance(10_000);
    records = await bench.until((all) => restarts(all) === 1);
    expect(stateOf(records.at(-1), 'c')).toBe('running');
    await bench.terminate(0);
    await done;
  });
});

describe('a program that cannot be executed', () => {
  it('is waiting with RunContainerError where it is tried again, as golden 046 shows', async () => {
    await using bench = await JobBench.create({
      spec: { restartPolicy: 'OnFailure', containers: [{ name: 'c' }] },
    });
    bench.runtime.startErrors.set('c', new InterlinkError('Invalid', 'no such file', { code: 'StartError' }));
    const done = bench.run();
    let records = await bench.until((all) => stateOf(all.at(-1), 'c') === 'waiting RunContainerError');
    expect(statusOf(records.at(-1), 'c')).toMatchObject({
      state: { waiting: { message: 'no such file' } },
      lastState: { terminated: { reason: 'StartError', exitCode: 128, startedAt: '1970-01-01T00:00:00Z' } },
      restartCount: 0,
    });
    await bench.until(() => bench.clock.sleeping > 0);
    await bench.clock.advance(1_000);
    await bench.until((all) => restarts(all) === 1);
    await bench.until(() => bench.clock.sleeping > 0);
    await bench.clock.advance(5_000);
    await bench.until((all) => stateOf(all.at(-1), 'c') === 'waiting CrashLoopBackOff');
    await bench.clock.advance(5_000);
    records = await bench.until((all) => restarts(all) === 2);
    expect(pathOf(records)).toEqual([
      '#0 waiting ContainerCreating',
      '#0 waiting RunContainerError',
      '#1 waiting RunContainerError',
      '#1 waiting CrashLoopBackOff',
      '#2 waiting RunContainerError',
    ]);
    await bench.terminate(30);
    expect(await done).toBe(128);
    records = await bench.records();
    expect(stateOf(records.at(-1), 'c')).toBe('StartError 128');
    expect(eventsOf(records).filter((line) => line.startsWith('Warning Failed'))).toHaveLength(3);
  });
});

describe('the active deadline', () => {
  it('ends a pod that would be restarted for ever, as golden 129 shows', async () => {
    await using bench = await JobBench.create({
      spec: { restartPolicy: 'OnFailure', activeDeadlineSeconds: 3, containers: [{ name: 'a' }, { name: 'b' }] },
      scripts: { a: ({ exit, onSignal }) => onSignal(() => exit(0)), b: codes(0) },
    });
    const done = bench.run();
    await bench.until((records) => isRunning('a')(records) && stateOf(records.at(-1), 'b') === 'Completed 0');
    await bench.clock.advance(3_000);
    expect(await done).toBe(1);
    const last = (await bench.records()).at(-1);
    expect(last?.status).toMatchObject({ phase: 'Failed', reason: 'DeadlineExceeded' });
    expect([stateOf(last, 'a'), stateOf(last, 'b')]).toEqual(['Completed 0', 'Completed 0']);
  });
});
