import { copyFile, mkdir, mkdtemp, readdir, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type Clock, systemClock } from '../../../src/base/clock.ts';
import { parseImageDescription } from '../../../src/runner/image-description.ts';
import type { SandboxCommandResult } from '../../../src/runner/namespace-exec.ts';
import { type PodmanCall, podmanPuller } from '../../../src/runner/podman-puller.ts';
import { FakeClock } from '../../fakes/fake-clock.ts';

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'interlink-podman-'));
  for (const name of ['work', 'doomed']) await mkdir(join(directory, name));
});
afterEach(() => rm(directory, { recursive: true }));

const signal = new AbortController().signal;
const DONE: SandboxCommandResult = { exitCode: 0, stdout: '', stderr: '' };

/** What Podman 4.3 says of an image with two layers, cut down. */
function inspected(layers: readonly string[], more: object = {}): string {
  const [top, ...below] = layers;
  const Data = { UpperDir: top, WorkDir: '/w', ...(below.length > 0 && { LowerDir: below.join(':') }) };
  const Config = { User: 'app', Entrypoint: ['/bin/sh', '-c'], Cmd: ['id'], Env: ['X=a b'], WorkingDir: '/home/app' };
  return JSON.stringify([{ Id: 'f00', Size: 1234, Config, GraphDriver: { Name: 'overlay', Data }, ...more }]);
}

/** Plays Podman: answers by the first word of its arguments. */
function fake(
  answers: Readonly<Record<string, Partial<SandboxCommandResult>>>,
  options: readonly string[] = [],
  { clock = systemClock, hangs = false }: { clock?: Clock; hangs?: boolean } = {},
) {
  const calls: (PodmanCall & { readonly args: readonly string[] })[] = [];
  const puller = podmanPuller({
    options,
    clock,
    async podman(args, call) {
      calls.push({ args, ...call });
      if (hangs)
        await new Promise((_, reject) => call.signal?.addEventListener('abort', () => reject(call.signal?.reason)));
      return { ...DONE, ...answers[args[0] ?? ''] };
    },
  });
  const work = join(directory, 'work');
  const target = join(directory, 'x.podman.json');
  const pull = (url: string, more: { loginFile?: string } = {}) =>
    puller.pull({ url, target, work, directory, signal, ...more });
  return { puller, calls, pull };
}

describe('images that Podman pulls', () => {
  it('are described by their layers and their configuration', async () => {
    const layers = [join(directory, 'top'), join(directory, 'middle'), join(directory, 'bottom')];
    for (const layer of layers) await mkdir(layer);
    const { puller, calls, pull } = fake({ pull: { stdout: 'f00\n' }, image: { stdout: inspected(layers) } });
    await pull('docker://registry.example/site/app:1');
    const file = join(directory, 'x.podman.json');
    expect(parseImageDescription(await readFile(file, 'utf8'))).toEqual({
      layers,
      config: {
        entrypoint: ['/bin/sh', '-c'],
        cmd: ['id'],
        env: [['X', 'a b']],
        workingDir: '/home/app',
        user: 'app',
      },
      sizeBytes: 1234,
      id: 'f00',
    });
    expect((await stat(file)).mode & 0o777).toBe(0o600);
    expect(calls.map(({ args }) => args)).toEqual([
      ['pull', '--quiet', 'docker://registry.example/site/app:1'],
      ['image', 'inspect', 'f00'],
    ]);
    for (const call of calls)
      expect(call).toMatchObject({ storage: join(directory, 'podman'), temporary: join(directory, 'work') });
    expect(await puller.sizeOf?.(file)).toBe(1234);
    expect(await puller.has(file)).toBe(true);
    await rm(join(directory, 'middle'), { recursive: true });
    expect(await puller.has(file)).toBe(false);
  });

  it('are got with the login that the registry wants', async () => {
    const { calls, pull } = fake({ pull: { stdout: 'f00\n' }, image: { stdout: inspected(['/l']) } });
    await pull('docker://a/b', { loginFile: '/dev/shm/login/config.json' });
    expect(calls.map(({ login }) => login)).toEqual(['/dev/shm/login/config.json', undefined]);
  });

  it('are removed with their layers once no other name is left for them', async () => {
    const { puller, calls, pull } = fake({ pull: { stdout: 'f00\n' }, image: { stdout: inspected(['/l']) } });
    await pull('docker://a/b');
    const [first, second] = [join(directory, 'x.podman.json'), join(directory, 'doomed/y.podman.json')];
    await copyFile(first, second);
    calls.length = 0;
    await puller.remove(second, directory);
    expect(calls).toEqual([]);
    await puller.remove(first, directory);
    expect(calls.map(({ args }) => args)).toEqual([['rmi', '--force', 'f00']]);
    await puller.remove(first, directory);
    expect((await readdir(directory, { recursive: true })).sort()).toEqual(['doomed', 'work']);
  });

  it('stay in the cache when Podman cannot remove them', async () => {
    const answers = { pull: { stdout: 'f00\n' }, image: { stdout: inspected(['/l']) } };
    const { puller, pull } = fake({ ...answers, rmi: { exitCode: 125, stderr: 'Error: database is locked\n' } });
    await pull('docker://a/b');
    const file = join(directory, 'x.podman.json');
    await expect(puller.remove(file, directory)).rejects.toThrow('database is locked');
    expect((await stat(file)).isFile()).toBe(true);
    const gone = fake({ ...answers, rmi: { exitCode: 1, stderr: 'Error: f00: image not known\n' } });
    await gone.puller.remove(file, directory);
    await expect(stat(file)).rejects.toThrow('ENOENT');
  });

  it.each([
    ['docker://localhost:5000/a', [], true],
    ['docker://127.0.0.1:1/a', [], true],
    ['docker://localhost.evil/a', [], false],
    ['docker://registry.example/a', ['--tls-verify=false'], true],
  ])('%s with %j may come without a certificate: %j', async (url, options, insecure) => {
    const { calls, pull } = fake({ pull: { stdout: 'f00\n' }, image: { stdout: inspected(['/l']) } }, options);
    await pull(url);
    expect(calls[0]?.args.includes('--tls-verify=false')).toBe(insecure);
  });

  it.each(['oras://ghcr.io/a/b', 'library://a/b', 'https://x/a.sif'])('%s cannot be had', async (url) => {
    const { calls, pull } = fake({});
    await expect(pull(url)).rejects.toMatchObject({ code: 'ErrImagePull' });
    expect(calls).toEqual([]);
  });

  it('fail with its words and leave nothing behind', async () => {
    const stderr =
      'Trying to pull localhost:1/none:1...\nError: initializing source docker://localhost:1/none:1: manifest unknown\n';
    const { pull } = fake({ pull: { exitCode: 125, stderr } });
    await expect(pull('docker://localhost:1/none:1')).rejects.toMatchObject({
      code: 'ErrImagePull',
      message: 'initializing source docker://localhost:1/none:1: manifest unknown',
    });
    expect((await readdir(directory)).sort()).toEqual(['doomed', 'work']);
  });

  it('fail when they come to no end', async () => {
    const clock = new FakeClock();
    const pulling = expect(fake({}, [], { clock, hangs: true }).pull('docker://a/b')).rejects.toMatchObject({
      code: 'ErrImagePull',
      message: 'no end after 2 hours',
    });
    await clock.advance(2 * 3_600_000);
    await pulling;
  });

  it('fail with the exit code when it says nothing', async () => {
    await expect(fake({ pull: { exitCode: 137 } }).pull('docker://a/b')).rejects.toThrow('exit code 137');
  });

  it('are refused when they are no layers', async () => {
    const stdout = inspected([], { GraphDriver: { Name: 'vfs', Data: null } });
    const { pull } = fake({ pull: { stdout: 'f00' }, image: { stdout } });
    await expect(pull('docker://a/b')).rejects.toThrow('storage driver vfs');
  });
});
