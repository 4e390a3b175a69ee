import { readdirSync, readFileSync } from 'node:fs';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough, Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { systemClock } from '../../../src/base/clock.ts';
import { localCommandRunner } from '../../../src/base/command.ts';
import { silentLogger } from '../../../src/base/logger.ts';
import type { ContainerPlan, ContainerRuntime, RunningContainer } from '../../../src/runner/container-runtime.ts';
import { startBareProcess } from '../../../src/runner/process-bare.ts';
import { createProcessRuntime } from '../../../src/runner/process-runtime.ts';

let root: string;
let runtime: ContainerRuntime;
let unsupported: string | undefined;
const containers: RunningContainer[] = [];
const never = new AbortController().signal;

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'interlink-exec-'));
  const deps = { clock: systemClock, logger: silentLogger, commands: localCommandRunner };
  runtime = createProcessRuntime({ directory: join(root, 'run'), ...deps });
  try {
    await runtime.probe(never);
  } catch (error) {
    unsupported = (error as Error).message;
  }
});

afterEach(async () => {
  for (const container of containers.splice(0)) {
    container.kill('SIGKILL');
    await container.exited;
  }
});

afterAll(async () => {
  await runtime.close?.();
  await rm(root, { recursive: true });
});

const environment: [string, string][] = [
  ['PATH', '/usr/sbin:/usr/bin:/sbin:/bin'],
  ['GREETING', 'a "b"\n$c'],
];

/** Starts a container and waits for its first line. */
async function inNamespaces(script: string, rest: Partial<ContainerPlan> = {}): Promise<RunningContainer> {
  const plan: ContainerPlan = {
    name: 'c',
    attempt: 0,
    command: ['sh', '-c', script],
    env: environment,
    workingDir: root,
    mounts: [],
    security: {},
    hostname: 'pod',
    tty: false,
    ...rest,
  };
  const [stdout, stderr] = [new PassThrough(), new PassThrough().resume()];
  const container = await runtime.start(plan, { path: '', imageId: '' }, { stdout, stderr });
  containers.push(container);
  await new Promise((resolve) => stdout.once('data', resolve));
  stdout.resume();
  return container;
}

async function bare(script: string): Promise<RunningContainer> {
  const [stdout, stderr] = [new PassThrough(), new PassThrough().resume()];
  const command = { argv: ['sh', '-c', script], env: new Map(environment), cwd: root };
  const deps = { directory: join(root, 'bare'), clock: systemClock };
  const container = await startBareProcess({ command, tty: false }, { stdout, stderr }, deps);
  containers.push(container);
  await new Promise((resolve) => stdout.once('data', resolve));
  stdout.resume();
  return container;
}

async function exec(
  container: RunningContainer,
  argv: readonly string[],
  { stdin, signal = never }: { stdin?: Readable; signal?: AbortSignal } = {},
) {
  const [stdout, stderr] = [new PassThrough(), new PassThrough()];
  const read = { stdout: buffer(stdout), stderr: buffer(stderr) };
  const program = await container.exec({ argv, output: { stdout, stderr }, signal, ...(stdin && { stdin }) });
  return { program, ...read };
}

async function run(container: RunningContainer, script: string, stdin?: Readable): Promise<object> {
  const { program, stdout, stderr } = await exec(container, ['sh', '-c', script], stdin ? { stdin } : {});
  const { exitCode } = await program.exited;
  return { exitCode, stdout: String(await stdout), stderr: String(await stderr) };
}

/** How many programs on this machine sleep just that long. */
function sleepers(seconds: string): number {
  const isOne = (pid: string): boolean => {
    try {
      return readFileSync(`/proc/${pid}/cmdline`, 'utf8') === `sleep\0${seconds}\0`;
    } catch {
      return false; // ended meanwhile
    }
  };
  return readdirSync('/proc').filter((name) => /^\d+$/.test(name) && isOne(name)).length;
}

const SLEEPER = 'echo up; sleep 600 & wait';
const isLinux = process.platform === 'linux';

describe.runIf(isLinux).each([
  ['in namespaces', inNamespaces],
  ['without isolation', bare],
])('a program executed in a container %s', (where, start) => {
  const skips = (context: { skip: (why: string) => void }): boolean => {
    if (where === 'without isolation' || !unsupported) return false;
    context.skip(unsupported);
    return true;
  };

  it('has exact streams and exit code, and the environment and directory of the container', async (context) => {
    if (skips(context)) return;
    const container = await start(SLEEPER);
    expect(await run(container, 'echo out; echo err >&2; exit 41')).toEqual({
      exitCode: 41,
      stdout: 'out\n',
      stderr: 'err\n',
    });
    expect(await run(container, 'printf %s "$GREETING"; pwd')).toMatchObject({ stdout: `a "b"\n$c${root}\n` });
    expect(await run(container, 'kill -TERM $$')).toMatchObject({ exitCode: 143 });
  });

  it('reads what it is given, to the end, and nothing otherwise', async (context) => {
    if (skips(context)) return;
    const container = await start(SLEEPER);
    const bytes = Buffer.from(Array.from({ length: 300_000 }, (_, index) => (index * 7919) % 256));
    const { program, stdout } = await exec(container, ['cat'], { stdin: Readable.from([bytes, bytes]) });
    expect(await program.exited).toEqual({ exitCode: 0 });
    expect((await stdout).equals(Buffer.concat([bytes, bytes]))).toBe(true);
    expect(await run(container, 'cat; cat /dev/stdin')).toEqual({ exitCode: 0, stdout: '', stderr: '' });
  });

  it('does not hold up who sends more than it reads', async (context) => {
    if (skips(context)) return;
    const container = await start(SLEEPER);
    const stdin = Readable.from(Array.from({ length: 100 }, () => Buffer.alloc(65_536)));
    const read = new Promise((resolve) => stdin.once('end', resolve));
    expect(await run(container, 'head -c 3 >/dev/null; echo enough', stdin)).toMatchObject({ stdout: 'enough\n' });
    await read;
  });

  it('that is missing never ran', async (context) => {
    if (skips(context)) return;
    const container = await start(SLEEPER);
    const message = (what: string): string =>
      `OCI runtime exec failed: exec failed: unable to start container process: exec: ${what}: unknown`;
    await expect(exec(container, ['nonesuch'])).rejects.toMatchObject({
      code: 'ExecError',
      message: message('"nonesuch": executable file not found in $PATH'),
    });
    await expect(exec(container, ['/etc/passwd'])).rejects.toMatchObject({
      message: message('"/etc/passwd": permission denied'),
    });
  });

  it('ends with all that it has started when it is aborted', async (context) => {
    if (skips(context)) return;
    const container = await start(SLEEPER);
    const controller = new AbortController();
    // Another session and another group: only its parents tell whose it is.
    const seconds = where === 'in namespaces' ? '600.25' : '600.75';
    const script = `(setsid sleep ${seconds} & wait) & echo on; wait`;
    const stdout = new PassThrough();
    const output = { stdout, stderr: new PassThrough().resume() };
    const program = await container.exec({ argv: ['sh', '-c', script], output, signal: controller.signal });
    await new Promise((resolve) => stdout.once('data', resolve));
    await vi.waitFor(() => expect(sleepers(seconds)).toBe(1), 10_000);
    controller.abort();
    expect(await program.exited).toEqual({ exitCode: 137 });
    await vi.waitFor(() => expect(sleepers(seconds)).toBe(0), 10_000);
    await expect(exec(container, ['true'], { signal: controller.signal })).rejects.toThrow('abort');
  });

  it('can be signalled, and ends with its container', async (context) => {
    if (skips(context)) return;
    const container = await start(SLEEPER);
    const script = 'trap "exit 9" TERM; echo ready; while :; do sleep 0.01; done';
    const one = await container.exec({
      argv: ['sh', '-c', script],
      output: {
        stdout: new PassThrough().once('data', () => one?.kill('SIGTERM')),
        stderr: new PassThrough().resume(),
      },
      signal: never,
    });
    expect(await one.exited).toEqual({ exitCode: 9 });
    const two = await exec(container, ['sleep', '600']);
    container.kill('SIGKILL');
    expect(await two.program.exited).toEqual({ exitCode: 137 });
    await container.exited;
    await expect(exec(container, ['true'])).rejects.toMatchObject({ kind: 'NotFound', code: 'ContainerNotRunning' });
    two.program.kill('SIGKILL');
  });
});

describe.runIf(isLinux)('a program executed in the namespaces of a container', () => {
  it('is in the same instance: processes, files, host name, ids and restrictions', async (context) => {
    if (unsupported) return context.skip(unsupported);
    const source = join(root, 'volume');
    await mkdir(source);
    await writeFile(join(source, 'f'), 'content\n');
    const facts =
      'readlink /proc/self/ns/* | sort; id; hostname; umask; pwd; cat /interlink-v/f; grep -E "^(Cap|NoNew|Seccomp:|Groups)" /proc/self/status; cat /proc/self/oom_score_adj';
    const container = await inNamespaces(`(${facts}) >/interlink-v/own; ${SLEEPER}`, {
      mounts: [{ source, target: '/interlink-v', readOnly: false }],
      security: { allowPrivilegeEscalation: false, seccomp: 'RuntimeDefault', dropCapabilities: ['ALL'] },
    });
    expect(await run(container, `(${facts}) | diff /interlink-v/own - && echo same`)).toMatchObject({
      stdout: 'same\n',
    });
    expect(await run(container, 'tr "\\0" " " </proc/1/cmdline')).toMatchObject({
      stdout: expect.stringContaining('sh -c'),
    });
  });

  it('is one of the processes that are shared, and ends with the container that it is in', async (context) => {
    if (unsupported) return context.skip(unsupported);
    const [one, other] = [
      await inNamespaces(SLEEPER, { sharedProcesses: true }),
      await inNamespaces(SLEEPER, { sharedProcesses: true }),
    ];
    const first = await exec(one, ['sleep', '598']);
    const second = await exec(other, ['sleep', '599']);
    expect(await run(other, 'grep -alx "sleep.59[89]." /proc/[0-9]*/cmdline | wc -l')).toMatchObject({ stdout: '2\n' });
    one.kill('SIGKILL');
    expect(await first.program.exited).toEqual({ exitCode: 137 });
    expect(await run(other, 'echo still here')).toMatchObject({ exitCode: 0, stdout: 'still here\n' });
    second.program.kill('SIGTERM');
    expect(await second.program.exited).toEqual({ exitCode: 143 });
  });
});
