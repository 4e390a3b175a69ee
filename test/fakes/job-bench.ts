import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type JobDirectory, type JobSpec, jobDirectory, type RunnerRecord } from '../../src/contract/job-directory.ts';
import type { PodBundle } from '../../src/contract/pod-bundle.ts';
import type { Container, Pod, PodSpec } from '../../src/kube/types.ts';
import { runJob } from '../../src/runner/run-job.ts';
import { FakeClock } from './fake-clock.ts';
import { FakeRuntime, type Script } from './fake-runtime.ts';

export interface JobBenchOptions {
  readonly spec: Partial<Omit<PodSpec, 'containers' | 'initContainers'>> & {
    readonly containers: readonly Partial<Container>[];
    readonly initContainers?: readonly Partial<Container>[];
  };
  readonly metadata?: Pod['metadata'];
  readonly bundle?: Partial<PodBundle>;
  readonly job?: Partial<JobSpec>;
  readonly scripts?: Readonly<Record<string, Script>>;
}

let count = 0;

/** A job directory with a pod, a fake runtime and a fake clock: everything that `runJob` needs. */
export class JobBench implements AsyncDisposable {
  readonly clock = new FakeClock(Date.parse('2026-11-25T12:00:00Z'));
  readonly runtime: FakeRuntime;
  readonly directory: JobDirectory;
  #terminate: (() => void) | undefined;

  private constructor(root: string, scripts: Readonly<Record<string, Script>>) {
    this.directory = jobDirectory(root);
    this.runtime = new FakeRuntime(this.clock, scripts);
  }

  static async create({ spec, metadata, bundle, job, scripts = {} }: JobBenchOptions): Promise<JobBench> {
    const bench = new JobBench(await mkdtemp(join(tmpdir(), 'interlink-job-')), scripts);
    const complete = (containers: readonly Partial<Container>[]): Container[] =>
      containers.map((one) => ({ image: 'busybox', ...one }) as Container);
    count += 1;
    const { initContainers, ...rest } = spec;
    const pod: Pod = {
      metadata: { namespace: 'default', name: 'p', uid: `bench-${process.pid}-${count}`, ...metadata },
      spec: {
        restartPolicy: 'Never',
        ...rest,
        containers: complete(spec.containers),
        ...(initContainers && { initContainers: complete(initContainers) }),
      },
    };
    const whole: JobSpec = {
      version: 1,
      bundle: { pod, configMaps: [], secrets: [], projectedVolumes: [], ...bundle },
      runtime: { name: 'process' },
      ...job,
    };
    await writeFile(bench.directory.spec, JSON.stringify(whole), { mode: 0o600 });
    return bench;
  }

  /** Runs the job; resolves with the runner's exit code. */
  run(): Promise<number> {
    return runJob(this.directory.root, {
      clock: this.clock,
      createRuntime: () => this.runtime,
      environment: {},
      onTerminate: (listener) => {
        this.#terminate = listener;
        return () => {};
      },
    });
  }

  /** Sends SIGTERM to the runner, after writing a stop request if one is given. */
  async terminate(graceSeconds?: number): Promise<void> {
    if (graceSeconds !== undefined) {
      const requestedAt = new Date(this.clock.nowMs()).toISOString();
      const stop = { gracePeriodSeconds: graceSeconds, requestedAt, reason: 'Deleted' };
      await writeFile(this.directory.stop, JSON.stringify(stop));
    }
    this.#terminate?.();
  }

  async records(): Promise<RunnerRecord[]> {
    const text = await readFile(this.directory.events, 'utf8').catch(() => '');
    return text
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line));
  }

  /** Waits, without a clock, until `predicate` holds for the records so far. */
  async until(predicate: (records: readonly RunnerRecord[]) => boolean): Promise<RunnerRecord[]> {
    const deadline = performance.now() + 10_000;
    while (performance.now() < deadline) {
      const records = await this.records();
      if (predicate(records)) return records;
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
    throw new Error(`never came: ${JSON.stringify(await this.records(), undefined, 1)}`);
  }

  /** Lets pending file accesses of the runner come to their end. */
  async settle(): Promise<void> {
    await new Promise((resolve) => setTimeout(resolve, 20));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.directory.root, { recursive: true, force: true });
  }
}
