import { describe, expect, it } from 'vitest';
import { systemClock } from '../../../src/base/clock.ts';
import { InterlinkError } from '../../../src/base/errors.ts';
import { type PodRun, type RunPodDeps, runPod } from '../../../src/cli/run/run-pod.ts';
import type { PodBundle } from '../../../src/contract/pod-bundle.ts';
import { MemorySidecar } from '../../fakes/memory-sidecar.ts';

const UID = '11111111-2222-3333-4444-555555555555';
const bundleWith = (names: readonly string[]): PodBundle => ({
  pod: {
    metadata: { name: 'p', namespace: 'default', uid: UID },
    spec: {
      restartPolicy: 'Never',
      terminationGracePeriodSeconds: 0,
      containers: names.map((name) => ({ name, image: 'x' })),
    },
  },
  configMaps: [],
  secrets: [],
  projectedVolumes: [],
});

interface Trial {
  readonly sidecar: MemorySidecar;
  readonly lines: string[];
  readonly output: string[];
  readonly run: Promise<PodRun>;
  /** Sends the next signal. */
  interrupt(): void;
}

function tryRun(sidecar = new MemorySidecar(), containers: readonly string[] = ['c']): Trial {
  const lines: string[] = [];
  const output: string[] = [];
  const signals = Array.from({ length: 3 }, () => Promise.withResolvers<NodeJS.Signals>());
  let sent = 0;
  const deps: RunPodDeps = {
    sidecar,
    clock: systemClock,
    say: (line) => lines.push(line),
    onLog: async (name, bytes) => {
      for await (const chunk of bytes) output.push(`${name}:${Buffer.from(chunk).toString()}`);
    },
    signals: {
      received: (count) => signals[count - 1]?.promise ?? Promise.reject(new Error('no such signal')),
      [Symbol.dispose]: () => {},
    },
  };
  return {
    sidecar,
    lines,
    output,
    run: runPod(bundleWith(containers), deps),
    interrupt: () => {
      signals[sent]?.resolve('SIGINT');
      sent += 1;
    },
  };
}

const until = async (condition: () => boolean): Promise<void> => {
  for (let tries = 0; tries < 500 && !condition(); tries += 1) await systemClock.sleep(5);
  expect(condition()).toBe(true);
};

describe('runPod', () => {
  it('hands on the output, ends with the container that failed and leaves nothing at the site', async () => {
    const trial = tryRun();
    await until(() => trial.sidecar.live.includes(UID));
    trial.sidecar.start(UID);
    trial.sidecar.write(UID, 'c', 'hello');
    trial.sidecar.finish(UID, 42);
    const { exitCode, failure, interrupted } = await trial.run;
    expect([exitCode, failure, interrupted]).toEqual([42, undefined, false]);
    expect(trial.output.join('')).toBe('c:hello\n');
    expect(trial.lines).toContain('container c: ended with exit code 42 (Error)');
    expect(trial.sidecar.live).toEqual([]);
  });

  it('takes the exit code of the failure that came first, even within one second', async () => {
    const trial = tryRun(new MemorySidecar(), ['a', 'b']);
    await until(() => trial.sidecar.live.includes(UID));
    trial.sidecar.start(UID);
    trial.sidecar.end(UID, 'b', 42);
    await until(() => trial.lines.some((line) => line.startsWith('container b: ended')));
    trial.sidecar.end(UID, 'a', 3);
    expect((await trial.run).exitCode).toBe(42);
  });

  it('stops the pod on the first signal', async () => {
    const trial = tryRun();
    await until(() => trial.sidecar.live.includes(UID));
    trial.sidecar.start(UID);
    await until(() => trial.lines.includes('container c: running'));
    trial.interrupt();
    const { interrupted } = await trial.run;
    expect(interrupted).toBe(true);
    expect(trial.sidecar.live).toEqual([]);
  });

  it('gives what the site says to a pod that it refuses', async () => {
    const sidecar = new MemorySidecar();
    sidecar.fail('create', new InterlinkError('Invalid', 'spec.volumes[0]: hostPath is not allowed here'));
    await expect(tryRun(sidecar).run).rejects.toThrow('hostPath is not allowed here');
  });

  it('makes a broken link again and says so (fault: the watch breaks once)', async () => {
    const sidecar = new MemorySidecar();
    sidecar.fail('watch', new InterlinkError('Unavailable', 'connection reset'));
    const trial = tryRun(sidecar);
    await until(() => trial.sidecar.live.includes(UID));
    trial.sidecar.start(UID);
    trial.sidecar.finish(UID);
    expect((await trial.run).exitCode).toBe(0);
    expect(trial.lines).toContain('lost the link to the site, trying again: connection reset');
  });
});
