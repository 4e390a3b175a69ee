import { describe, expect, it } from 'vitest';
import type { Container, Probe } from '../../../src/kube/types.ts';
import type { Script } from '../../fakes/fake-runtime.ts';
import { JobBench } from '../../fakes/job-bench.ts';
import { eventsOf, isRunning, stateOf, statusOf } from '../../fakes/read-records.ts';

const probe = (fields: Partial<Probe> = {}): Probe => ({
  exec: { command: ['probe'] },
  periodSeconds: 1,
  failureThreshold: 1,
  ...fields,
});
const service: Script = ({ exit, onSignal }) => onSignal((signal) => signal === 'SIGTERM' && exit(0));
/** A program's exit code, once the container's own script has begun. */
const soon = (code: number): Promise<number> =>
  new Promise((resolve) => setImmediate(() => setImmediate(resolve, code)));
const killings = async (bench: JobBench): Promise<string[]> => {
  const isKilling = (line: string): boolean => line.includes('Killing');
  return eventsOf(await bench.until((records) => eventsOf(records).some(isKilling))).filter(isKilling);
};

/** Lets time pass in small steps, with room for what happens in between, until the condition holds. */
async function advanceUntil(bench: JobBench, isDone: () => boolean, stepMs = 500): Promise<void> {
  for (let steps = 0; !isDone(); steps += 1) {
    if (steps > 200) throw new Error('never came');
    await bench.settle();
    if (!isDone()) await bench.clock.advance(stepMs);
  }
}

describe('a container whose liveness probe fails', () => {
  it('is restarted at once and alone, without showing its end, as golden 143 shows', async () => {
    await using bench = await JobBench.create({
      spec: { restartPolicy: 'Always', containers: [{ name: 'a', livenessProbe: probe() }, { name: 'b' }] },
      scripts: { a: service, b: service },
    });
    bench.runtime.exec = (_, { attempt }) => soon(attempt === 0 ? 1 : 0);
    const done = bench.run();
    await advanceUntil(bench, () => bench.runtime.started.length === 3);
    const records = await bench.until((all) => statusOf(all.at(-1), 'a').restartCount === 1);
    expect(bench.runtime.signals).toEqual(['a SIGTERM']);
    expect(statusOf(records.at(-1), 'a')).toMatchObject({
      state: { running: {} },
      lastState: { terminated: { exitCode: 0, reason: 'Completed' } },
    });
    expect(statusOf(records.at(-1), 'b').restartCount).toBe(0);
    expect(new Set(records.map((record) => stateOf(record, 'a')))).toEqual(
      new Set(['waiting ContainerCreating', 'running']),
    );
    expect(await killings(bench)).toEqual([
      'Normal Killing spec.containers{a} Container a failed liveness probe, will be restarted',
    ]);
    await bench.terminate(0);
    await done;
  });

  it('has its end counted when it was restarted too soon before, as golden 148 shows', async () => {
    await using bench = await JobBench.create({
      spec: { restartPolicy: 'OnFailure', containers: [{ name: 'c', startupProbe: probe() }] },
      scripts: { c: service },
    });
    bench.runtime.exec = () => soon(1);
    const done = bench.run();
    let code: number | undefined;
    void done.then((exitCode) => {
      code = exitCode;
    });
    await advanceUntil(bench, () => code !== undefined);
    expect(code).toBe(0);
    const records = await bench.records();
    expect(
      records.filter((record) => stateOf(record, 'c') === 'running').map((r) => statusOf(r, 'c').started),
    ).not.toContain(true);
    expect(statusOf(records.at(-1), 'c')).toMatchObject({ restartCount: 2, state: { terminated: { exitCode: 0 } } });
    expect(eventsOf(records).at(-1)).toMatch(
      /^Warning BackOff spec.containers{c} Back-off restarting failed container c /,
    );
    expect(await killings(bench)).toEqual(
      Array(3).fill('Normal Killing spec.containers{c} Container c failed startup probe, will be restarted'),
    );
  });

  it('takes the whole pod with it under Never, with the grace of the pod, as golden 152 shows', async () => {
    await using bench = await JobBench.create({
      spec: {
        terminationGracePeriodSeconds: 7,
        containers: [{ name: 'c', livenessProbe: probe({ terminationGracePeriodSeconds: 1 }) }],
      },
      scripts: { c: () => {} },
    });
    bench.runtime.exec = () => soon(1);
    const done = bench.run();
    await advanceUntil(bench, () => bench.runtime.signals.length > 0);
    await bench.until(() => bench.clock.sleeping > 0);
    await bench.clock.advance(6_000);
    expect(bench.runtime.signals).toEqual(['c SIGTERM']);
    await advanceUntil(bench, () => bench.runtime.signals.length > 1);
    expect(await done).toBe(137);
    expect((await bench.records()).at(-1)?.status.phase).toBeUndefined();
    expect(await killings(bench)).toEqual(['Normal Killing spec.containers{c} Stopping container c']);
  });

  it('ends alone under Never while others run, with the grace of its probe', async () => {
    await using bench = await JobBench.create({
      spec: {
        containers: [{ name: 'a', livenessProbe: probe({ terminationGracePeriodSeconds: 4 }) }, { name: 'b' }],
      },
      scripts: { a: () => {}, b: service },
    });
    bench.runtime.exec = () => soon(1);
    const done = bench.run();
    await advanceUntil(bench, () => bench.runtime.signals.length > 0);
    await bench.until(() => bench.clock.sleeping > 0);
    await bench.clock.advance(3_900);
    expect(bench.runtime.signals).toEqual(['a SIGTERM']);
    await bench.clock.advance(100);
    await bench.until((records) => stateOf(records.at(-1), 'a') === 'Error 137');
    expect(isRunning('b')(await bench.records())).toBe(true);
    expect(await killings(bench)).toEqual(['Normal Killing spec.containers{a} Container a failed liveness probe']);
    await bench.terminate(10);
    expect(await done).toBe(137);
  });

  it('gets no preStop hook but two seconds where the pod gives no grace', async () => {
    const programs: string[] = [];
    await using bench = await JobBench.create({
      spec: {
        restartPolicy: 'Always',
        terminationGracePeriodSeconds: 0,
        containers: [{ name: 'c', livenessProbe: probe(), lifecycle: { preStop: { exec: { command: ['hook'] } } } }],
      },
      scripts: { c: () => {} },
    });
    bench.runtime.exec = ({ argv: [program = ''] }, { attempt }) => {
      programs.push(program);
      return soon(attempt === 0 ? 1 : 0);
    };
    const done = bench.run();
    await advanceUntil(bench, () => bench.runtime.signals.length > 0);
    expect(bench.runtime.signals).toEqual(['c SIGTERM']);
    await bench.until(() => bench.clock.sleeping > 0);
    await bench.clock.advance(1_900);
    expect(bench.runtime.signals).toHaveLength(1);
    await bench.clock.advance(100);
    await bench.until((records) => statusOf(records.at(-1), 'c').restartCount === 1);
    expect(programs).not.toContain('hook');
    await bench.terminate(0);
    await done;
  });

  it('is restarted under Never when it is a sidecar', async () => {
    const side: Partial<Container> = { name: 'side', restartPolicy: 'Always', livenessProbe: probe() };
    await using bench = await JobBench.create({
      spec: { initContainers: [side], containers: [{ name: 'c' }] },
      scripts: { side: service, c: service },
    });
    bench.runtime.exec = (_, { attempt }) => soon(attempt === 0 ? 1 : 0);
    const done = bench.run();
    await advanceUntil(bench, () => bench.runtime.started.length === 3);
    expect(await killings(bench)).toEqual([
      'Normal Killing spec.initContainers{side} Init container side failed liveness probe',
    ]);
    await bench.terminate(10);
    expect(await done).toBe(0);
  });
});

describe('readiness', () => {
  it('comes with the probe, goes with it, and comes again, as golden 140 shows', async () => {
    let code = 1;
    await using bench = await JobBench.create({
      spec: { containers: [{ name: 'c', readinessProbe: probe() }] },
      scripts: { c: service },
    });
    bench.runtime.exec = () => soon(code);
    const done = bench.run();
    const records = await bench.until(isRunning('c'));
    expect(statusOf(records.at(-1), 'c')).toMatchObject({ ready: false, started: true });
    for (const ready of [true, false, true]) {
      code = ready ? 0 : 1;
      let seen = false;
      for (let step = 0; step < 50 && !seen; step += 1) {
        await bench.clock.advance(500);
        await bench.settle();
        seen = statusOf((await bench.records()).at(-1), 'c').ready === ready;
      }
      expect(seen).toBe(true);
    }
    await bench.terminate(10);
    expect(await done).toBe(0);
  });

  it('and the next start wait for the startup probe of a sidecar, as golden 031 shows', async () => {
    let isUp = false;
    const side: Partial<Container> = {
      name: 'side',
      restartPolicy: 'Always',
      startupProbe: probe({ failureThreshold: 20 }),
    };
    await using bench = await JobBench.create({
      spec: { initContainers: [side], containers: [{ name: 'main' }] },
      scripts: { side: service },
    });
    bench.runtime.exec = () => soon(isUp ? 0 : 1);
    const done = bench.run();
    const records = await bench.until(isRunning('side'));
    expect(statusOf(records.at(-1), 'side')).toMatchObject({ ready: false, started: false });
    await bench.until(() => bench.clock.sleeping > 0);
    await bench.clock.advance(2_000);
    expect(bench.runtime.started).toHaveLength(1);
    isUp = true;
    await advanceUntil(bench, () => bench.runtime.started.length === 2);
    expect(await done).toBe(0);
    const shown = (await bench.records()).map((record) => statusOf(record, 'side'));
    expect(shown.some(({ ready, started }) => ready && started)).toBe(true);
  });
});
