import { chmod, mkdir, mkdtemp, readFile, realpath, rename, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough, Writable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { systemClock } from '../../../src/base/clock.ts';
import { localCommandRunner } from '../../../src/base/command.ts';
import { silentLogger } from '../../../src/base/logger.ts';
import type { ContainerPlan, ContainerRuntime, RunningContainer } from '../../../src/runner/container-runtime.ts';
import { LINUX } from '../../../src/runner/namespace-linux.ts';
import { runSystemCalls } from '../../../src/runner/namespace-run.ts';
import { prepareMounts, volumeCalls } from '../../../src/runner/namespace-volumes.ts';
import { startBareProcess } from '../../../src/runner/process-bare.ts';
import { createProcessRuntime } from '../../../src/runner/process-runtime.ts';

const image = { path: '', imageId: '' };
let root: string;
let runtime: ContainerRuntime;
let unsupported: string | undefined;

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'interlink-process-'));
  runtime = createProcessRuntime({ directory: join(root, 'run'), ...deps() });
  try {
    await runtime.probe(new AbortController().signal);
  } catch (error) {
    unsupported = (error as Error).message;
  }
});

afterAll(async () => {
  await runtime.close?.();
  await rm(root, { recursive: true });
});

function deps() {
  return { clock: systemClock, logger: silentLogger, commands: localCommandRunner };
}

function plan(command: readonly string[], rest: Partial<ContainerPlan> = {}): ContainerPlan {
  return { name: 'c', attempt: 0, command, env: [], mounts: [], security: {}, hostname: 'pod', tty: false, ...rest };
}

interface Started {
  readonly container: RunningContainer;
  readonly stdout: Promise<Buffer>;
  readonly stderr: Promise<Buffer>;
}

async function start(command: readonly string[], rest: Partial<ContainerPlan> = {}): Promise<Started> {
  const [stdout, stderr] = [new PassThrough(), new PassThrough()];
  const read = { stdout: buffer(stdout), stderr: buffer(stderr) };
  return { container: await runtime.start(plan(command, rest), image, { stdout, stderr }), ...read };
}

async function outputOf(script: string, rest: Partial<ContainerPlan> = {}): Promise<string> {
  const { container, stdout } = await start(['sh', '-c', script], rest);
  await container.exited;
  return (await stdout).toString();
}

async function exitOf(script: string): Promise<object> {
  const { exitCode, signal } = await (await start(['sh', '-c', script])).container.exited;
  return { exitCode, ...(signal === undefined ? {} : { signal }) };
}

const isLinux = process.platform === 'linux';

describe.runIf(isLinux)('a container of the runtime process', () => {
  it('gives its exit code, its output and its times', async (context) => {
    if (unsupported) return context.skip(unsupported);
    const { container, stdout, stderr } = await start(['sh', '-c', 'echo out; echo err >&2; exit 42']);
    expect(await container.exited).toMatchObject({ exitCode: 42, oomKilled: false });
    expect([await stdout, await stderr].map(String)).toEqual(['out\n', 'err\n']);
    expect(container.id).toMatch(/^[0-9a-f]{64}$/);
    expect(container.startedAt).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/);
  });

  it('tells a signal from an exit code', async (context) => {
    if (unsupported) return context.skip(unsupported);
    const killed = await start(['sleep', '100']);
    killed.container.kill('SIGKILL');
    expect(await killed.container.exited).toMatchObject({ exitCode: 137, signal: 9 });
    killed.container.kill('SIGKILL');
    expect(await exitOf('exit 137')).toEqual({ exitCode: 137 });
  });

  it('is process 1: TERM without a handler and KILL from inside do nothing', async (context) => {
    if (unsupported) return context.skip(unsupported);
    const { container, stdout } = await start(['sh', '-c', 'kill -9 $$; echo survived; sleep 0.1; echo $$']);
    container.kill('SIGTERM');
    expect(await container.exited).toMatchObject({ exitCode: 0 });
    expect(String(await stdout)).toBe('survived\n1\n');
    const handler = await start(['sh', '-c', 'trap "exit 7" TERM; echo ready; while :; do sleep 0.01; done']);
    setTimeout(() => handler.container.kill('SIGTERM'), 50);
    expect(await handler.container.exited).toMatchObject({ exitCode: 7 });
  });

  it('takes along what it left in the background, which does not hold its end up', async (context) => {
    if (unsupported) return context.skip(unsupported);
    // The end comes when everybody has closed the output: within this test only if the kernel ends the background too.
    expect(await outputOf('sleep 600 & (setsid sleep 600 &); echo left')).toBe('left\n');
  });

  it('gets arguments and environment byte for byte, and nothing else', async (context) => {
    if (unsupported) return context.skip(unsupported);
    const words = ['', ' a  b ', '"\'$(x)`\\', 'ü\n', '-n', 'a=b', '*'];
    const args = await start(['printf', '%s\\0', ...words]);
    expect(String(await args.stdout)).toBe(words.map((word) => `${word}\0`).join(''));
    const env: [string, string][] = [
      ['A.b', 'x\n"\'$(y),'],
      ['c-d', ''],
      ['E', 'a=b'],
      ['HOME', '/h'],
    ];
    const { container, stdout } = await start(['env', '-0'], { env });
    await container.exited;
    const found = String(await stdout)
      .split('\0')
      .filter(Boolean);
    expect(found.sort()).toEqual(
      [...env.map(([name, value]) => `${name}=${value}`), 'HOSTNAME=pod', expect.stringMatching(/^PATH=/)].sort(),
    );
  });

  it('passes bytes through that are no text, and more than any pipe holds, to a slow reader', async (context) => {
    if (unsupported) return context.skip(unsupported);
    const file = join(root, 'random');
    const bytes = Buffer.from(Array.from({ length: 300_000 }, (_, index) => (index * 7919) % 256));
    await writeFile(file, bytes);
    const chunks: Buffer[] = [];
    const stdout = new Writable({
      highWaterMark: 1,
      write(chunk, _, done) {
        chunks.push(chunk);
        setImmediate(done);
      },
    });
    const container = await runtime.start(plan(['cat', file]), image, { stdout, stderr: new PassThrough().resume() });
    await container.exited;
    expect(Buffer.concat(chunks).equals(bytes)).toBe(true);
  });

  it('has an end although its output cannot be written', async (context) => {
    if (unsupported) return context.skip(unsupported);
    // The fault: the log's file system is full.
    const stdout = new Writable({ write: (_chunk, _encoding, done) => done(new Error('ENOSPC')) });
    const { exitCode } = await (
      await runtime.start(plan(['sh', '-c', 'head -c 500000 /dev/zero; exit 5']), image, {
        stdout,
        stderr: new PassThrough().resume(),
      })
    ).exited;
    expect(exitCode).toBe(5);
  });

  it('can open its standard output by name, and has nothing to read', async (context) => {
    if (unsupported) return context.skip(unsupported);
    expect(await outputOf('echo a >/dev/stdout; cat')).toBe('a\n');
  });

  it('has a terminal when it wants one', async (context) => {
    if (unsupported) return context.skip(unsupported);
    const script = '[ -t 0 ] && [ -t 1 ] && echo tty; echo err >&2; : </dev/tty && echo controlling';
    expect(await outputOf(script, { tty: true })).toBe('tty\r\nerr\r\ncontrolling\r\n');
  });

  it.each([
    [['nonesuch'], {}, 'exec: "nonesuch": executable file not found in $PATH'],
    [['/no/such/program'], {}, 'exec: "/no/such/program": no such file or directory'],
    [['/etc/passwd'], {}, 'exec: "/etc/passwd": permission denied'],
    [['/etc'], {}, 'exec: "/etc": permission denied'],
    [['true'], { workingDir: '/etc/passwd' }, 'working directory "/etc/passwd": not a directory'],
    [['true', 'x'.repeat(200_000)], {}, 'exec: "true": argument list too long'],
  ])('that cannot be executed never started: %j', async (command, rest, message) => {
    if (unsupported) return;
    const output = { stdout: new PassThrough(), stderr: new PassThrough() };
    const starting = runtime.start(plan(command as string[], rest), image, output);
    await expect(starting).rejects.toMatchObject({ code: 'StartError', message });
    expect(output.stdout.writableEnded).toBe(false);
  });

  it('without an exec format is told apart', async (context) => {
    if (unsupported) return context.skip(unsupported);
    const file = join(root, 'garbage');
    await writeFile(file, 'no program at all');
    await chmod(file, 0o755);
    await expect(start([file])).rejects.toThrow('exec format error');
  });

  it('looks its program up in its own PATH', async (context) => {
    if (unsupported) return context.skip(unsupported);
    const bin = join(root, 'bin');
    await mkdir(bin);
    await writeFile(join(bin, 'tool'), '#!/bin/sh\necho found "$1"\n', { mode: 0o755 });
    const { container, stdout } = await start(['tool', 'it'], { env: [['PATH', `/nope:/etc/passwd:${bin}:/bin`]] });
    await container.exited;
    expect(String(await stdout)).toBe('found it\n');
  });

  it('needs a command', async () => {
    const { command: _, ...rest } = plan([]);
    const output = { stdout: new PassThrough(), stderr: new PassThrough() };
    await expect(runtime.start(rest, image, output)).rejects.toMatchObject({ code: 'CreateContainerConfigError' });
  });

  it('runs as the own user only, or as anybody for root', async (context) => {
    if (unsupported) return context.skip(unsupported);
    const security = { runAsUser: 4711, runAsGroup: 4712, supplementalGroups: [4713] };
    if (process.geteuid?.() === 0)
      expect(await outputOf('id -u; id -g; id -G', { security })).toBe('4711\n4712\n4712 4713\n');
    else
      await expect(start(['id'], { security })).rejects.toMatchObject({
        code: 'CreateContainerConfigError',
        message: expect.stringContaining('securityContext.runAsUser 4711 cannot be had'),
      });
  });

  it('sees the others of its pod when processes are shared, and its end ends what is its own', async (context) => {
    if (unsupported) return context.skip(unsupported);
    const shared = { sharedProcesses: true };
    const other = await start(['sh', '-c', 'trap "exit 9" TERM; echo up; while :; do sleep 0.02; done'], shared);
    const script =
      'sleep 60 & [ $$ != 1 ] && echo not 1; for p in /proc/[0-9]*/cmdline; do tr "\\0" " " <$p; echo; done | grep -c "[e]xit 9"; exit 4';
    const one = await start(['sh', '-c', script], shared);
    expect(await one.container.exited).toMatchObject({ exitCode: 4 });
    expect(String(await one.stdout)).toBe('not 1\n1\n');
    other.container.kill('SIGTERM');
    expect(await other.container.exited).toMatchObject({ exitCode: 9 });
  });

  it('is what the kernel takes first when memory runs out', async (context) => {
    if (unsupported) return context.skip(unsupported);
    expect(await outputOf('cat /proc/self/oom_score_adj')).toBe('1000\n');
  });

  it('is found among many that start at once', async (context) => {
    if (unsupported) return context.skip(unsupported);
    const started = await Promise.all(Array.from({ length: 16 }, () => start(['sleep', '60'])));
    for (const { container } of started) {
      expect(await readFile(`/proc/${container.pid}/cmdline`, 'utf8')).toBe('sleep\x0060\0');
      container.kill('SIGKILL');
      expect(await container.exited).toMatchObject({ exitCode: 137 });
    }
  });

  it('can be kept from new privileges', async (context) => {
    if (unsupported) return context.skip(unsupported);
    const security = { allowPrivilegeEscalation: false, seccomp: 'RuntimeDefault' as const, dropCapabilities: ['ALL'] };
    const output = await outputOf('grep -E "^(CapEff|NoNewPrivs|Seccomp):" /proc/self/status', { security });
    expect(output).toMatch(/^CapEff:\t0+\nNoNewPrivs:\t1\nSeccomp:\t2\n$/);
    expect(await outputOf('unshare --user true 2>&1 || echo refused', { security })).toContain('refused');
  });
});

describe.runIf(isLinux)('volumes of the runtime process', () => {
  it('appear where nothing is, in the middle of what is there, and over files; the worker sees nothing of it', async (context) => {
    if (unsupported) return context.skip(unsupported);
    const data = join(root, 'data, with:odd\\ name');
    await mkdir(data);
    await writeFile(join(data, 'f'), 'content');
    const hosts = join(root, 'hosts');
    await writeFile(hosts, 'pod hosts\n');
    const targets = ['/interlink-new/deep/er', '/usr/share/interlink new', '/etc/interlink-file'];
    const mounts = [
      { source: data, target: targets[0] ?? '', readOnly: true },
      { source: data, target: targets[1] ?? '', readOnly: false },
      { source: hosts, target: '/etc/hosts', readOnly: false },
      { source: hosts, target: targets[2] ?? '', readOnly: true },
    ];
    const script = `cat ${targets[0]}/f "${targets[1]}/f" /etc/hosts ${targets[2]}; touch ${targets[0]}/x 2>&1 | grep -o Read-only;
      echo new >"${targets[1]}/g"; (echo x >>${targets[2]}) 2>&1 | grep -o Read-only; test -s /etc/passwd && echo rest of etc`;
    expect(await outputOf(script, { mounts })).toBe(
      'contentcontentpod hosts\npod hosts\nRead-only\nRead-only\nrest of etc\n',
    );
    expect(await readFile(join(data, 'g'), 'utf8')).toBe('new\n');
    for (const target of [...targets, '/interlink-new']) await expect(stat(target)).rejects.toThrow('ENOENT');
  });

  it('may lie in each other', async (context) => {
    if (unsupported) return context.skip(unsupported);
    const [outer, inner] = [join(root, 'outer'), join(root, 'inner')];
    for (const path of [outer, inner]) await mkdir(path);
    await writeFile(join(inner, 'f'), 'inner\n');
    const mounts = [
      { source: inner, target: '/interlink-v/sub', readOnly: false },
      { source: outer, target: '/interlink-v', readOnly: true },
    ];
    expect(await outputOf('cat /interlink-v/sub/f; touch /interlink-v/sub/g && echo written', { mounts })).toBe(
      'inner\nwritten\n',
    );
  });

  it('in memory have their size, are shared by the containers of the pod and outlive them', async (context) => {
    if (unsupported) return context.skip(unsupported);
    const source = join(root, 'memory');
    await mkdir(source);
    await chmod(source, 0o777);
    const mounts = [{ source, target: '/interlink-m', readOnly: false, tmpfs: { sizeBytes: 1024 * 1024 } }];
    const script =
      'head -c 2000000 /dev/zero 2>/dev/null >/interlink-m/x; stat -c %s /interlink-m/x; stat -c %a /interlink-m';
    expect(await outputOf(script, { mounts })).toBe('1048576\n777\n');
    expect(await outputOf('ls /interlink-m', { mounts })).toBe('x\n');
    await expect(stat(join(source, 'x'))).rejects.toThrow('ENOENT');
  });

  it('come with kernel settings of the pod alone, and what cannot be set is named', async (context) => {
    if (unsupported) return context.skip(unsupported);
    if (process.getuid?.() !== 0) return context.skip('older kernels let only root do it');
    const before = await readFile('/proc/sys/kernel/msgmax', 'utf8');
    const sysctls = [{ name: 'kernel.msgmax', value: '4321' }];
    expect(await outputOf('cat /proc/sys/kernel/msgmax', { sysctls })).toBe('4321\n');
    expect(await readFile('/proc/sys/kernel/msgmax', 'utf8')).toBe(before);
    await expect(start(['true'], { sysctls: [{ name: 'kernel.sem', value: 'many' }] })).rejects.toMatchObject({
      code: 'CreateContainerConfigError',
      message: expect.stringMatching(/^securityContext\.sysctls: kernel\.sem="many" cannot be set on this worker/),
    });
  });

  it('leave /dev/shm to the pod, of the size that it may have', async (context) => {
    if (unsupported) return context.skip(unsupported);
    const script = 'head -c 2000000 /dev/zero 2>/dev/null >/dev/shm/x; stat -c %s /dev/shm/x; rm /dev/shm/x';
    expect(await outputOf(script, { sharedMemoryBytes: 1024 * 1024 })).toBe('1048576\n');
  });

  it('are read-only with all that is in them where that is asked for, and nothing can be made in them', async (context) => {
    if (unsupported) return context.skip(unsupported);
    const source = await mkdtemp(join(root, 'recursive-'));
    await mkdir(join(source, 'there'));
    const outer = { source, target: '/interlink-r', readOnly: true, recursiveReadOnly: true };
    const inner = (name: string) => ({ source: root, target: `/interlink-r/${name}`, readOnly: false });
    expect(
      await outputOf('touch /interlink-r/x || ls /interlink-r/there | head -1', { mounts: [outer, inner('there')] }),
    ).not.toBe('');
    await expect(start(['true'], { mounts: [outer, inner('new')] })).rejects.toThrow('mount path /interlink-r/new');
  });

  it('are mounted exactly where a symbolic link must not be followed, directories and files', async (context) => {
    if (unsupported) return context.skip(unsupported);
    const source = await realpath(await mkdtemp(join(root, 'exact-')));
    await mkdir(join(source, 'd'));
    await writeFile(join(source, 'd/f'), 'f\n');
    const mounts = [
      { source: join(source, 'd'), target: '/interlink-d', readOnly: true, exact: true, sealed: true },
      { source: join(source, 'd/f'), target: '/interlink-f', readOnly: false, exact: true },
    ];
    expect(
      await outputOf('cat /interlink-d/f; touch /interlink-d/x || echo f >>/interlink-f; cat /interlink-f', { mounts }),
    ).toBe('f\nf\nf\n');
  });

  it('are not mounted when a symbolic link has come into their path, be it at the last moment', async (context) => {
    if (unsupported) return context.skip(unsupported);
    const base = await realpath(await mkdtemp(join(root, 'swapped-')));
    await mkdir(join(base, 'top/d'), { recursive: true });
    await mkdir(join(base, 'secret/d'), { recursive: true });
    await mkdir(join(base, 'target'));
    const mount = { source: join(base, 'top/d'), target: join(base, 'target'), readOnly: false, exact: true };
    const prepared = prepareMounts([mount]);
    await rename(join(base, 'top'), join(base, 'gone'));
    await symlink('secret', join(base, 'top'));
    expect(() => prepareMounts([mount])).toThrow('has been replaced by a symbolic link');
    if (process.getuid?.() !== 0) return;
    const calls = [
      { call: 'unshare', args: [LINUX.CLONE_NEWNS], what: 'make a mount namespace' } as const,
      ...volumeCalls(prepared, '', () => [], true),
    ];
    await expect(runSystemCalls(calls, { directory: base })).rejects.toThrow(/^mount path .*: too many symbolic links/);
  });

  it.each([
    ['/proc/sys/x', 'nothing can be mounted in /proc'],
    ['/etc/passwd/x', '/etc/passwd is a file'],
    ['/', 'not an absolute path below /'],
    ['relative', 'not an absolute path below /'],
  ])('at an impossible path are refused: %s', async (target, why) => {
    if (unsupported) return;
    const starting = start(['true'], { mounts: [{ source: root, target, readOnly: false }] });
    await expect(starting).rejects.toMatchObject({ code: 'StartError' });
    await expect(starting).rejects.toThrow(why);
  });

  it('that have gone are named', () => {
    expect(() => prepareMounts([{ source: '/no/such', target: '/t', readOnly: false }])).toThrow(
      'mount path /t: its source cannot be reached',
    );
  });

  it('repeat the flags of their file system when they become read-only', async () => {
    const mountInfo = join(root, 'mountinfo');
    const point = root.replaceAll('/', '/');
    await writeFile(
      mountInfo,
      `1 0 8:1 / / rw - ext4 /dev/a rw\n2 1 8:2 / ${point} rw,nosuid,nodev - ext4 /dev/b rw\n3 1 8:3 / ${point}/not rw,noexec - ext4 x rw\n`,
    );
    const mounts = [{ source: root, target: '/t', readOnly: true }];
    expect(prepareMounts(mounts, mountInfo)).toMatchObject([{ flags: 2 | 4, directory: true }]);
  });
});

describe.runIf(isLinux)('a process without isolation', () => {
  const begin = async (argv: readonly string[], cwd = '/') => {
    const [stdout, stderr] = [new PassThrough(), new PassThrough()];
    const command = { argv, env: new Map([['PATH', '/usr/bin:/bin']]), cwd };
    const setup = { directory: join(root, 'bare'), clock: systemClock };
    const read = buffer(stdout);
    stderr.resume();
    return { container: await startBareProcess({ command, tty: false }, { stdout, stderr }, setup), stdout: read };
  };

  it('gives output and exit code, and ends with what stayed in its group', async () => {
    const { container, stdout } = await begin(['sh', '-c', 'sleep 60 & echo on; exit 3']);
    expect(await container.exited).toMatchObject({ exitCode: 3 });
    expect(String(await stdout)).toBe('on\n');
  });

  it('tells a signal, and a program that is missing', async () => {
    const { container } = await begin(['sleep', '60']);
    container.kill('SIGTERM');
    expect(await container.exited).toMatchObject({ exitCode: 143, signal: 15 });
    await expect(begin(['nonesuch'])).rejects.toMatchObject({ code: 'StartError' });
  });
});
