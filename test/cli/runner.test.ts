import { execFileSync, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { systemClock } from '../../src/base/clock.ts';
import { readContainerLog } from '../../src/contract/container-log.ts';
import {
  containerLogPath,
  type JobDirectory,
  jobDirectory,
  type RunnerRecord,
} from '../../src/contract/job-directory.ts';
import type { PodBundle } from '../../src/contract/pod-bundle.ts';
import type { PodSpec } from '../../src/kube/types.ts';
import { INTERLINK, interlink } from './interlink.ts';

/** The runtime `process` needs namespaces; where the kernel or the container that we are in refuses them there is nothing to test. */
const hasNamespaces = ((): boolean => {
  try {
    execFileSync('unshare', ['--user', '--map-root-user', '--mount', '--pid', '--fork', 'true'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
})();

class Job implements AsyncDisposable {
  readonly directory: JobDirectory;

  private constructor(root: string) {
    this.directory = jobDirectory(root);
  }

  static async create(spec: PodSpec, bundle: Partial<PodBundle> = {}): Promise<Job> {
    const job = new Job(await mkdtemp(join(tmpdir(), 'interlink-job-')));
    const uid = createHash('sha256').update(job.directory.root).digest('hex').slice(0, 32);
    const pod = { metadata: { namespace: 'default', name: 'p', uid }, spec: { restartPolicy: 'Never', ...spec } };
    const whole = {
      version: 1,
      runtime: { name: 'process' },
      bundle: { pod, configMaps: [], secrets: [], projectedVolumes: [], ...bundle },
    };
    await writeFile(job.directory.spec, JSON.stringify(whole), { mode: 0o600 });
    return job;
  }

  async log(container = 'c'): Promise<Buffer> {
    const chunks: Uint8Array[] = [];
    const signal = new AbortController().signal;
    const path = containerLogPath(this.directory, container, 0);
    for await (const chunk of readContainerLog({ path, options: {}, clock: systemClock, signal, isEnded: () => true }))
      chunks.push(chunk);
    return Buffer.concat(chunks);
  }

  async records(): Promise<RunnerRecord[]> {
    const text = await readFile(this.directory.events, 'utf8').catch(() => '');
    return text.split('\n').flatMap((line) => (line === '' ? [] : [JSON.parse(line)]));
  }

  /** Resolves once the container's log holds `text`. */
  async says(text: string, container = 'c'): Promise<void> {
    await expect
      .poll(async () => (await this.log(container).catch(() => Buffer.alloc(0))).includes(text), { timeout: 20_000 })
      .toBe(true);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.directory.root, { recursive: true, force: true });
  }
}

const start = (job: Job) =>
  spawn(INTERLINK, ['runner', job.directory.root], { env: { PATH: process.env.PATH ?? '' }, stdio: 'ignore' });
const shell = (script: string) => ({ name: 'c', image: 'any', command: ['sh', '-c', script] });
/** Processes whose command line holds `mark`. */
const processes = (mark: string): string[] =>
  execFileSync('ps', ['-eo', 'pid=,args='], { encoding: 'utf8' })
    .split('\n')
    .filter((line) => line.includes(mark) && !line.includes('ps -eo'));

describe.skipIf(!hasNamespaces)('interlink runner', () => {
  it('gives arguments, variables and files to the program byte by byte: 3,000 random values', async () => {
    const text = fc.string({ unit: 'binary', maxLength: 60 }).map((value) => value.replaceAll('\0', ''));
    const tricky = fc.constantFrom(
      '',
      ' ',
      '\n',
      '"',
      "'",
      '$(x)',
      '$$',
      '`id`',
      '\\',
      '-n',
      '--',
      '*',
      'é中😀',
      '\r\n',
      '%s',
      '$(A',
      'a\tb',
    );
    const value = fc.oneof(
      text,
      tricky,
      fc.array(tricky, { maxLength: 5 }).map((parts) => parts.join('')),
    );
    const batch = fc.record({
      args: fc.array(value, { minLength: 100, maxLength: 100 }),
      env: fc.array(value, { minLength: 100, maxLength: 100 }),
      files: fc.array(fc.uint8Array({ maxLength: 300 }), { minLength: 100, maxLength: 100 }),
    });
    await fc.assert(
      fc.asyncProperty(batch, async ({ args, env, files }) => {
        const odd = (index: number): string => `${['A', 'with-dash.', '9', '%', 'é'][index % 5]}${index}`;
        const names = files.map((_, index) => `f${index}`);
        const binaryData = Object.fromEntries(files.map((file, i) => [names[i], Buffer.from(file).toString('base64')]));
        await using job = await Job.create(
          {
            containers: [
              {
                // The shell's own command line and first environment are what it was given.
                ...shell(`cat /proc/$$$$/cmdline /proc/$$$$/environ; cd /v; cat ${names.join(' ')}`),
                args: ['sh', ...args.map((arg) => arg.replaceAll('$', '$$$$'))],
                env: env.map((one, index) => ({ name: odd(index), value: one })),
                volumeMounts: [{ name: 'v', mountPath: '/v' }],
              },
            ],
            volumes: [{ name: 'v', configMap: { name: 'm' } }],
          },
          { configMaps: [{ metadata: { name: 'm' }, binaryData }] },
        );
        expect(await interlink(['runner', job.directory.root])).toMatchObject({ code: 0 });
        const got = await job.log();
        const argv = [
          'sh',
          '-c',
          `cat /proc/$$/cmdline /proc/$$/environ; cd /v; cat ${names.join(' ')}`,
          'sh',
          ...args,
        ];
        const commandLine = Buffer.from(argv.map((arg) => `${arg}\0`).join(''));
        expect(got.subarray(0, commandLine.length).equals(commandLine)).toBe(true);
        const content = Buffer.concat(files);
        expect(got.subarray(got.length - content.length).equals(content)).toBe(true);
        const environment = got
          .subarray(commandLine.length, got.length - content.length)
          .toString()
          .split('\0');
        expect(environment).toEqual(expect.arrayContaining(env.map((one, index) => `${odd(index)}=${one}`)));
      }),
      { numRuns: 10 },
    );
  });

  it('leaves no process when it is killed, and a record that can be read (fault: kill -9)', async () => {
    const mark = `${7_000_000 + process.pid}`;
    await using job = await Job.create({
      containers: [
        shell(`(setsid sleep ${mark} &); echo up; sleep ${mark} & wait`),
        { ...shell(`sleep ${mark}`), name: 'd' },
      ],
    });
    const runner = start(job);
    await job.says('up');
    expect(processes(mark).length).toBeGreaterThan(2);
    runner.kill('SIGKILL');
    await expect.poll(() => processes(mark), { timeout: 5_000 }).toEqual([]);
    expect((await job.records()).at(-1)?.status.containers[0]?.state?.running).toBeDefined();
    // The job that the batch system runs again starts nothing.
    expect(await interlink(['runner', job.directory.root])).toMatchObject({ code: 0 });
    expect(processes(mark)).toEqual([]);
  });

  it('stops the pod on SIGTERM: a chance to end, then SIGKILL after the grace', async () => {
    const mark = `${8_000_000 + process.pid}`;
    await using job = await Job.create({
      containers: [
        shell(`trap 'echo got TERM; exit 5' TERM; echo up; sleep ${mark} & wait`),
        { ...shell(`exec sleep ${mark}`), name: 'd' },
      ],
    });
    const runner = start(job);
    await job.says('up');
    const requestedAt = new Date().toISOString();
    await writeFile(job.directory.stop, JSON.stringify({ gracePeriodSeconds: 1, requestedAt, reason: 'Deleted' }));
    const ended = new Promise((resolve) => runner.once('exit', resolve));
    runner.kill('SIGTERM');
    expect(await ended).toBe(5);
    expect((await job.log()).toString()).toContain('got TERM');
    const last = (await job.records()).at(-1)?.status;
    expect(last?.sandbox).toBe('Gone');
    expect(last?.containers.map(({ state }) => state?.terminated?.exitCode)).toEqual([5, 137]);
    expect(processes(mark)).toEqual([]);
  });

  it('says what is wrong with a directory that holds no job', async () => {
    const outcome = await interlink(['runner', '/no/such/job']);
    expect(outcome.code).toBe(1);
    expect(outcome.err).toContain('/no/such/job/pod.json does not exist');
  });
});
