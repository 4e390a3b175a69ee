import { describe, expect, it } from 'vitest';
import type { Container } from '../../../src/kube/types.ts';
import type { Script } from '../../fakes/fake-runtime.ts';
import { JobBench } from '../../fakes/job-bench.ts';
import { eventsOf, isRunning, stateOf, statusOf } from '../../fakes/read-records.ts';

const sidecar = (name: string): Partial<Container> => ({ name, restartPolicy: 'Always' });
/** Runs until SIGTERM, then ends with the code. */
const service =
  (code = 0): Script =>
  ({ exit, onSignal }) =>
    onSignal((signal) => signal === 'SIGTERM' && exit(code));

describe('a native sidecar', () => {
  it('starts before what comes after it, is stopped after the main containers and does not count, as golden 030 shows', async () => {
    let end: (() => void) | undefined;
    await using bench = await JobBench.create({
      spec: { initContainers: [sidecar('side'), { name: 'i' }], containers: [{ name: 'c' }] },
      scripts: {
        side: service(9),
        c: ({ exit }) => {
          end = () => exit(0);
        },
      },
    });
    const done = bench.run();
    let records = await bench.until((all) => end !== undefined && isRunning('c', 'side')(all));
    expect(statusOf(records.at(-1), 'side')).toMatchObject({ ready: true, started: true });
    expect(statusOf(records.at(-1), 'i')).toMatchObject({ ready: true, started: false });
    end?.();
    expect(await done).toBe(0);
    records = await bench.records();
    expect(bench.runtime.started.map(({ name }) => name)).toEqual(['side', 'i', 'c']);
    expect(bench.runtime.signals).toEqual(['side SIGTERM']);
    const last = records.at(-1);
    expect(last?.status.phase).toBeUndefined();
    expect(['side', 'i', 'c'].map((name) => stateOf(last, name))).toEqual(['Error 9', 'Completed 0', 'Completed 0']);
    expect(statusOf(last, 'side').ready).toBe(false);
    expect(eventsOf(records).filter((line) => line.includes('Killing'))).toEqual([
      'Normal Killing spec.initContainers{side} Stopping container side',
    ]);
  });

  it('is killed when the grace of the pod is over, and the pod has completed all the same', async () => {
    await using bench = await JobBench.create({
      spec: { initContainers: [sidecar('side')], containers: [{ name: 'c' }], terminationGracePeriodSeconds: 7 },
      scripts: { side: () => {} },
    });
    const done = bench.run();
    await bench.until(() => bench.runtime.signals.length > 0);
    await bench.clock.advance(6_900);
    expect(bench.runtime.signals).toEqual(['side SIGTERM']);
    await bench.clock.advance(100);
    expect(await done).toBe(0);
    expect(bench.runtime.signals).toEqual(['side SIGTERM', 'side SIGKILL']);
    expect((await bench.records()).at(-1)?.status.phase).toBeUndefined();
  });

  it('is stopped also after a main container that failed, which decides', async () => {
    await using bench = await JobBench.create({
      spec: { initContainers: [sidecar('side')], containers: [{ name: 'c' }] },
      scripts: { side: service(), c: ({ exit }) => exit(2) },
    });
    expect(await bench.run()).toBe(2);
    expect(bench.runtime.signals).toEqual(['side SIGTERM']);
  });

  it('is stopped after an init container that failed for good', async () => {
    await using bench = await JobBench.create({
      spec: { initContainers: [sidecar('side'), { name: 'i' }], containers: [{ name: 'c' }] },
      scripts: { side: service(), i: ({ exit }) => exit(5) },
    });
    expect(await bench.run()).toBe(5);
    const last = (await bench.records()).at(-1);
    expect(['side', 'i', 'c'].map((name) => stateOf(last, name))).toEqual([
      'Completed 0',
      'Error 5',
      'waiting PodInitializing',
    ]);
  });

  it('is restarted also in a Never pod, and whatever it ended with', async () => {
    await using bench = await JobBench.create({
      spec: { initContainers: [sidecar('side')], containers: [{ name: 'c' }] },
      scripts: {
        side: (container) => (container.plan.attempt === 0 ? container.exit(0) : service()(container)),
        c: ({ exit, onSignal }) => onSignal(() => exit(0)),
      },
    });
    const done = bench.run();
    const records = await bench.until(
      (all) => isRunning('side', 'c')(all) && statusOf(all.at(-1), 'side').restartCount === 1,
    );
    expect(statusOf(records.at(-1), 'c').restartCount).toBe(0);
    await bench.terminate(30);
    expect(await done).toBe(0);
  });
});

describe('several sidecars', () => {
  it('end in reverse order, each after the end of the one before, as golden 033 shows', async () => {
    const ends = new Map<string, () => void>();
    const slow: Script = ({ plan, exit, onSignal }) => onSignal(() => ends.set(plan.name, () => exit(0)));
    const names = ['first', 'second', 'third'];
    await using bench = await JobBench.create({
      spec: { initContainers: names.map(sidecar), containers: [{ name: 'main' }] },
      scripts: Object.fromEntries(names.map((name) => [name, slow])),
    });
    const done = bench.run();
    const expected: string[] = [];
    for (const name of names.toReversed()) {
      await bench.until(() => ends.has(name));
      await bench.settle();
      expected.push(`${name} SIGTERM`);
      expect(bench.runtime.signals).toEqual(expected);
      ends.get(name)?.();
    }
    expect(await done).toBe(0);
    const killing = eventsOf(await bench.records()).filter((line) => line.includes('Killing'));
    // The events of all come at once, as with a kubelet.
    expect(killing.map((line) => line.split(' ').at(-1))).toEqual(names);
  });

  it('wait no longer for the one before than the grace, and get two seconds even then', async () => {
    await using bench = await JobBench.create({
      spec: {
        initContainers: [sidecar('first'), sidecar('second')],
        containers: [{ name: 'main' }],
        terminationGracePeriodSeconds: 4,
      },
      scripts: { first: () => {}, second: () => {} },
    });
    const done = bench.run();
    await bench.until(() => bench.runtime.signals.length > 0);
    await bench.clock.advance(4_000);
    await bench.until(() => bench.runtime.signals.length === 3);
    expect(bench.runtime.signals.toSorted()).toEqual(['first SIGTERM', 'second SIGKILL', 'second SIGTERM']);
    await bench.until(() => bench.clock.sleeping > 0);
    await bench.clock.advance(1_900);
    expect(bench.runtime.signals).toHaveLength(3);
    await bench.clock.advance(100);
    expect(await done).toBe(0);
    expect(bench.runtime.signals.at(-1)).toBe('first SIGKILL');
  });

  it('outlive the main containers when the pod is deleted, as golden 038 shows', async () => {
    let endMain: (() => void) | undefined;
    await using bench = await JobBench.create({
      spec: { initContainers: [sidecar('side')], containers: [{ name: 'main' }] },
      scripts: {
        side: service(),
        main: ({ exit, onSignal }) =>
          onSignal(() => {
            endMain = () => exit(0);
          }),
      },
    });
    const done = bench.run();
    await bench.until(isRunning('side', 'main'));
    await bench.terminate(10);
    await bench.until(() => endMain !== undefined);
    await bench.settle();
    expect(bench.runtime.signals).toEqual(['main SIGTERM']);
    endMain?.();
    expect(await done).toBe(0);
    expect(bench.runtime.signals).toEqual(['main SIGTERM', 'side SIGTERM']);
  });

  it('are killed at once when the pod is forced', async () => {
    await using bench = await JobBench.create({
      spec: { initContainers: [sidecar('side')], containers: [{ name: 'main' }] },
      scripts: { side: () => {}, main: () => {} },
    });
    const done = bench.run();
    await bench.until(isRunning('side', 'main'));
    await bench.terminate(0);
    expect(await done).toBe(137);
    expect(bench.runtime.signals.toSorted()).toEqual(['main SIGKILL', 'side SIGKILL']);
  });

  it('start only after the one before has started, which may take several attempts', async () => {
    await using bench = await JobBench.create({
      spec: {
        initContainers: [{ ...sidecar('first'), image: 'r/late' }, sidecar('second')],
        containers: [{ name: 'main' }],
      },
      scripts: { first: service(), second: service() },
    });
    bench.runtime.faults.set('r/late', { reason: 'ErrImageNeverPull', message: 'not there' });
    const done = bench.run();
    await bench.until((records) => stateOf(records.at(-1), 'first') === 'waiting ErrImageNeverPull');
    expect(bench.runtime.started).toEqual([]);
    bench.runtime.faults.clear();
    await bench.until(() => bench.clock.sleeping > 0);
    await bench.clock.advance(10_000);
    expect(await done).toBe(0);
    expect(bench.runtime.started.map(({ name }) => name)).toEqual(['first', 'second', 'main']);
  });
});

describe('SIGTERM of the batch system', () => {
  it('while the sidecars are being stopped does not fail a pod that has completed', async () => {
    let end: (() => void) | undefined;
    await using bench = await JobBench.create({
      spec: { initContainers: [sidecar('side')], containers: [{ name: 'c' }] },
      scripts: {
        side: ({ exit, onSignal }) =>
          onSignal(() => {
            end = () => exit(0);
          }),
      },
    });
    const done = bench.run();
    await bench.until(() => end !== undefined);
    await bench.terminate();
    await bench.settle();
    end?.();
    expect(await done).toBe(0);
    expect((await bench.records()).at(-1)?.status.phase).toBeUndefined();
  });
});
