import { writeFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { JobBench } from '../../fakes/job-bench.ts';
import { eventsOf, isRunning, stateOf } from '../../fakes/read-records.ts';

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
    expect(eventsOf(records).filter((line) => line.includes('Killing'))).toEqual([
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

  it('begins with the signal that the image wants', async () => {
    await using bench = await JobBench.create({
      spec: { containers: [{ name: 'c' }] },
      scripts: { c: ({ exit, onSignal }) => onSignal(() => exit(0)) },
    });
    bench.runtime.stopSignals.set('c', 'SIGQUIT');
    const done = bench.run();
    await bench.until(isRunning('c'));
    await bench.terminate(14);
    expect(await done).toBe(0);
    expect(bench.runtime.signals).toEqual(['c SIGQUIT']);
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
    expect(eventsOf(records).slice(2)).toEqual([
      'Normal DeadlineExceeded - Pod was active on the node longer than the specified deadline',
      'Normal Killing spec.containers{c} Stopping container c',
    ]);
  });
});
