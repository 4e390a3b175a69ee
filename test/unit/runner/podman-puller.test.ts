import { mkdir, mkdtemp, readdir, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { parseImageDescription } from '../../../src/runner/image-description.ts';
import type { SandboxCommandResult } from '../../../src/runner/namespace-exec.ts';
import { podmanPuller } from '../../../src/runner/podman-puller.ts';

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'interlink-podman-'));
});
afterEach(() => rm(directory, { recursive: true }));

const signal = new AbortController().signal;
const DONE: SandboxCommandResult = { exitCode: 0, stdout: '', stderr: '' };

/** What Podman 4.3 says of an image with two layers, cut down. */
function inspected(layers: readonly string[], more: object = {}): string {
  const [top, ...below] = layers;
  const Data = { UpperDir: top, WorkDir: '/w', ...(below.length > 0 && { LowerDir: below.join(':') }) };
  const Config = { User: 'app', Entrypoint: ['/bin/sh', '-c'], Cmd: ['id'], Env: ['X=a b'], WorkingDir: '/home/app' };
  const digests = { Digest: 'sha256:aa', RepoDigests: ['localhost:5000/site/app@sha256:aa'] };
  return JSON.stringify([{ Id: 'f00', ...digests, Config, GraphDriver: { Name: 'overlay', Data }, ...more }]);
}

/** Plays Podman: answers by the first word of its arguments. */
function fake(answers: Readonly<Record<string, Partial<SandboxCommandResult>>>, options: readonly string[] = []) {
  const calls: { args: readonly string[]; storage: string; temporary: string }[] = [];
  const puller = podmanPuller({
    options,
    async podman(args, { storage, temporary }) {
      calls.push({ args, storage, temporary });
      expect((await stat(temporary)).mode & 0o777).toBe(0o700);
      return { ...DONE, ...answers[args[0] ?? ''] };
    },
  });
  const pull = (url: string) => puller.pull({ url, target: join(directory, 'x.json'), directory, signal });
  return { puller, calls, pull };
}

describe('images that Podman pulls', () => {
  it('are described by their layers and their configuration', async () => {
    const layers = [join(directory, 'top'), join(directory, 'middle'), join(directory, 'bottom')];
    for (const layer of layers) await mkdir(layer);
    const { puller, calls, pull } = fake({ pull: { stdout: 'f00\n' }, image: { stdout: inspected(layers) } });
    await pull('docker://registry.example/site/app:1');
    const file = join(directory, 'x.json');
    expect(parseImageDescription(await readFile(file, 'utf8'))).toEqual({
      layers,
      config: {
        entrypoint: ['/bin/sh', '-c'],
        cmd: ['id'],
        env: [['X', 'a b']],
        workingDir: '/home/app',
        user: 'app',
      },
      digest: 'sha256:aa',
    });
    expect((await stat(file)).mode & 0o777).toBe(0o600);
    expect(calls.map(({ args }) => args)).toEqual([
      ['pull', '--quiet', 'docker://registry.example/site/app:1'],
      ['image', 'inspect', 'f00'],
    ]);
    expect(await readdir(directory)).not.toContainEqual(expect.stringContaining('.layers'));
    expect(await puller.has(file)).toBe(true);
    await rm(join(directory, 'middle'), { recursive: true });
    expect(await puller.has(file)).toBe(false);
  });

  it('have the digest of the list where there is one for several processors', async () => {
    const more = { Digest: 'sha256:own', RepoDigests: ['a/b@sha256:own', 'a/b@sha256:list'] };
    const { pull } = fake({ pull: { stdout: 'f00\n' }, image: { stdout: inspected(['/l'], more) } });
    await pull('docker://a/b');
    expect(parseImageDescription(await readFile(join(directory, 'x.json'), 'utf8')).digest).toBe('sha256:list');
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

  it('fail with its words and leave nothing behind', async () => {
    const stderr =
      'Trying to pull localhost:1/none:1...\nError: initializing source docker://localhost:1/none:1: manifest unknown\n';
    const { pull } = fake({ pull: { exitCode: 125, stderr } });
    await expect(pull('docker://localhost:1/none:1')).rejects.toMatchObject({
      code: 'ErrImagePull',
      message: 'initializing source docker://localhost:1/none:1: manifest unknown',
    });
    expect(await readdir(directory)).toEqual([]);
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
