import { describe, expect, it } from 'vitest';
import type { Container, LifecycleHandler } from '../../../src/kube/types.ts';
import type { Script } from '../../fakes/fake-runtime.ts';
import { JobBench } from '../../fakes/job-bench.ts';
import { eventsOf, isRunning, stateOf, statusOf } from '../../fakes/read-records.ts';

const hook: LifecycleHandler = { exec: { command: ['hook'] } };
const withPostStart = (name: string): Partial<Container> => ({ name, lifecycle: { postStart: hook } });
const withPreStop = (name: string): Partial<Container> => ({ name, lifecycle: { preStop: hook } });
const service: Script = ({ exit, onSignal }) => onSignal((signal) => signal === 'SIGTERM' && exit(0));
/** A program's exit code, once the container's own script has begun. */
const soon = (code: number): Promise<number> =>
  new Promise((resolve) => setImmediate(() => setImmediate(resolve, code)));
const never = new Promise<number>(() => {});

describe('a postStart hook', () => {
  it('ends before the container is shown as running and before the next one starts', async () => {
    const done = Promise.withResolvers<number>();
    await using bench = await JobBench.create({
      spec: { containers: [withPostStart('a'), { name: 'b' }] },
      scripts: { a: service, b: service },
    });
    const programs: string[][] = [];
    bench.runtime.exec = ({ argv }) => {
      programs.push([...argv]);
      return done.promise;
    };
    const run = bench.run();
    let records = await bench.until((all) => eventsOf(all).some((line) => line.includes('Started')));
    expect(stateOf(records.at(-1), 'a')).toBe('waiting ContainerCreating');
    expect(bench.runtime.started.map(({ name }) => name)).toEqual(['a']);
    expect(programs).toEqual([['hook']]);
    done.resolve(0);
    records = await bench.until(isRunning('a', 'b'));
    expect(statusOf(records.at(-1), 'a')).toMatchObject({ ready: true, started: true });
    await bench.terminate(0);
    await run;
  });

  it('that fails has its container stopped, which decides by its own exit code, as golden 111 shows', async () => {
    await using bench = await JobBench.create({
      spec: { containers: [withPostStart('c')] },
      scripts: { c: service },
    });
    bench.runtime.exec = () => soon(8);
    expect(await bench.run()).toBe(0);
    const records = await bench.records();
    expect(records.map((record) => stateOf(record, 'c'))).not.toContain('running');
    expect(stateOf(records.at(-1), 'c')).toBe('Completed 0');
    expect(eventsOf(records).slice(2)).toEqual([
      'Warning FailedPostStartHook spec.containers{c} PostStartHook failed',
      'Normal Killing spec.containers{c} FailedPostStartHook',
    ]);
  });

  it('that fails is what the container waits for where it is started again', async () => {
    await using bench = await JobBench.create({
      spec: { restartPolicy: 'Always', containers: [withPostStart('c')] },
      scripts: { c: service },
    });
    bench.runtime.exec = (_, { attempt }) => soon(attempt === 0 ? 8 : 0);
    const run = bench.run();
    let records = await bench.until((all) => stateOf(all.at(-1), 'c') === 'waiting PostStartHookError');
    expect(statusOf(records.at(-1), 'c')).toMatchObject({
      state: { waiting: { message: "command 'hook' exited with 8" } },
      lastState: { terminated: { exitCode: 0, reason: 'Completed' } },
      restartCount: 0,
    });
    await bench.until(() => bench.clock.sleeping > 0);
    await bench.clock.advance(1_000);
    records = await bench.until(isRunning('c'));
    expect(statusOf(records.at(-1), 'c').restartCount).toBe(1);
    await bench.terminate(0);
    await run;
  });

  it('is cut off when the pod is stopped', async () => {
    await using bench = await JobBench.create({
      spec: { containers: [withPostStart('c')] },
      scripts: { c: service },
    });
    bench.runtime.exec = () => never;
    const run = bench.run();
    await bench.until((records) => eventsOf(records).some((line) => line.includes('Started')));
    await bench.terminate(10);
    expect(await run).toBe(0);
    expect(eventsOf(await bench.records()).slice(2)).toEqual([
      'Normal Killing spec.containers{c} Stopping container c',
    ]);
  });
});

describe('a preStop hook', () => {
  it('ends before SIGTERM is sent, as golden 113 shows', async () => {
    const done = Promise.withResolvers<number>();
    await using bench = await JobBench.create({ spec: { containers: [withPreStop('c')] }, scripts: { c: service } });
    bench.runtime.exec = () => done.promise;
    const run = bench.run();
    await bench.until(isRunning('c'));
    await bench.terminate(15);
    await bench.until((records) => eventsOf(records).some((line) => line.includes('Killing')));
    await bench.clock.advance(14_000);
    expect(bench.runtime.signals).toEqual([]);
    done.resolve(0);
    expect(await run).toBe(0);
    expect(bench.runtime.signals).toEqual(['c SIGTERM']);
  });

  it('that fails is an event, and SIGTERM follows, as golden 114 shows', async () => {
    await using bench = await JobBench.create({ spec: { containers: [withPreStop('c')] }, scripts: { c: service } });
    bench.runtime.exec = () => 3;
    const run = bench.run();
    await bench.until(isRunning('c'));
    await bench.terminate(15);
    expect(await run).toBe(0);
    expect(bench.runtime.signals).toEqual(['c SIGTERM']);
    expect(eventsOf(await bench.records()).slice(2)).toEqual([
      'Normal Killing spec.containers{c} Stopping container c',
      'Warning FailedPreStopHook spec.containers{c} PreStopHook failed',
    ]);
  });

  it('longer than the grace is cut off; the container gets two seconds more, as golden 115 shows', async () => {
    await using bench = await JobBench.create({ spec: { containers: [withPreStop('c')] }, scripts: { c: () => {} } });
    bench.runtime.exec = () => never;
    const run = bench.run();
    await bench.until(isRunning('c'));
    await bench.terminate(3);
    await bench.until((records) => eventsOf(records).some((line) => line.includes('Killing')));
    await bench.clock.advance(3_000);
    await bench.until(() => bench.runtime.signals.length > 0);
    await bench.until(() => bench.clock.sleeping > 0);
    await bench.clock.advance(1_900);
    expect(bench.runtime.signals).toEqual(['c SIGTERM']);
    await bench.clock.advance(100);
    expect(await run).toBe(137);
    expect(bench.runtime.signals).toEqual(['c SIGTERM', 'c SIGKILL']);
  });

  it.each([
    ['the container ends by itself', undefined],
    ['the pod is forced', 0],
  ])('is not run when %s', async (_, graceSeconds) => {
    const programs: unknown[] = [];
    await using bench = await JobBench.create({
      spec: { containers: [withPreStop('c')] },
      scripts: { c: ({ exit }) => graceSeconds === undefined && exit(0) },
    });
    bench.runtime.exec = ({ argv }) => programs.push(argv);
    const run = bench.run();
    if (graceSeconds !== undefined) {
      await bench.until(isRunning('c'));
      await bench.terminate(graceSeconds);
    }
    await run;
    expect(programs).toEqual([]);
  });

  it('of a sidecar runs at once, its SIGTERM waits for its turn', async () => {
    let endMain: (() => void) | undefined;
    const programs: string[] = [];
    await using bench = await JobBench.create({
      spec: { initContainers: [{ ...withPreStop('side'), restartPolicy: 'Always' }], containers: [{ name: 'main' }] },
      scripts: {
        side: service,
        main: ({ exit, onSignal }) =>
          onSignal(() => {
            endMain = () => exit(0);
          }),
      },
    });
    bench.runtime.exec = (_, { name }) => {
      programs.push(name);
      return 0;
    };
    const run = bench.run();
    await bench.until(isRunning('side', 'main'));
    await bench.terminate(10);
    await bench.until(() => endMain !== undefined);
    await bench.settle();
    expect([programs, bench.runtime.signals]).toEqual([['side'], ['main SIGTERM']]);
    endMain?.();
    expect(await run).toBe(0);
    expect(bench.runtime.signals).toEqual(['main SIGTERM', 'side SIGTERM']);
  });
});
