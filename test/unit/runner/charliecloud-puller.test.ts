import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type Clock, systemClock } from '../../../src/base/clock.ts';
import type { CommandOptions, CommandResult, CommandRunner } from '../../../src/base/command.ts';
import { charliecloudPuller } from '../../../src/runner/charliecloud-puller.ts';
import { parseImageDescription } from '../../../src/runner/image-description.ts';

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'interlink-charliecloud-'));
  for (const name of ['work', 'doomed']) await mkdir(join(directory, name));
});
afterEach(() => rm(directory, { recursive: true }));

const signal = new AbortController().signal;
const CONFIG = { User: 'app', Cmd: ['id'], Env: ['PATH=/bin'] };

/** Plays `ch-image pull` 0.31: leaves what it leaves in its storage, or fails. */
function fake(failure?: Partial<CommandResult>, files: { config?: boolean } = {}, clock: Clock = systemClock) {
  const calls: { argv: readonly string[]; options: CommandOptions }[] = [];
  const commands: CommandRunner = {
    async run(argv, options) {
      calls.push({ argv, options });
      const base = { argv, exitCode: 0, exitSignal: null, stdout: '', stderr: '', timedOut: false, truncated: false };
      if (argv[0] === 'du') return { ...base, stdout: `3\t${argv.at(-1)}\n` };
      const storage = argv[argv.indexOf('--storage') + 1] ?? '';
      const image = join(storage, 'img', argv.at(-1) ?? '');
      await mkdir(join(image, 'ch'), { recursive: true });
      await writeFile(join(image, 'passwd'), 'root');
      const { config = true } = files;
      if (config)
        await writeFile(join(image, 'ch/config.pulled.json'), JSON.stringify({ os: 'linux', config: CONFIG }));
      return { ...base, ...failure };
    },
  };
  const puller = charliecloudPuller({
    program: 'ch-image',
    options: ['--tls-no-verify'],
    environment: { PATH: '/bin', USER: 'me' },
    commands,
    clock,
  });
  const target = join(directory, 'x.charliecloud.json');
  const pull = (url: string, more: { loginFile?: string } = {}) =>
    puller.pull({ url, target, work: join(directory, 'work'), directory, signal, ...more });
  return { puller, calls, target, pull };
}

describe('images that Charliecloud pulls', () => {
  it('are a directory beside their description, and nothing else stays', async () => {
    const { puller, target, calls, pull } = fake();
    await pull('docker://registry.example/site/app:1');
    const { layers, config, sizeBytes } = parseImageDescription(await readFile(target, 'utf8'));
    expect(config).toMatchObject({ user: 'app', cmd: ['id'], env: [['PATH', '/bin']] });
    expect(sizeBytes).toBe(3 * 1024);
    expect(await puller.sizeOf?.(target)).toBe(3 * 1024);
    expect((await stat(target)).mode & 0o777).toBe(0o600);
    expect(await readFile(join(layers[0] ?? '', 'passwd'), 'utf8')).toBe('root');
    expect(layers).toEqual([expect.stringMatching(`^${directory}/charliecloud/[0-9a-f]{16}$`)]);
    expect(calls[0]?.argv).toEqual([
      ...['ch-image', '--storage', join(directory, 'work/storage'), '--tls-no-verify'],
      ...['pull', 'registry.example/site/app:1', 'image'],
    ]);
    expect(calls[0]?.options.env).toEqual({ PATH: '/bin', USER: 'me', CH_IMAGE_CACHE: 'disabled' });
    expect(await puller.has(target)).toBe(true);
    await puller.remove(target, directory);
    expect(await readdir(join(directory, 'charliecloud'))).toEqual([]);
    expect(await puller.has(target)).toBe(false);
    await puller.remove(target, directory);
  });

  it('are got with the login that the registry wants, which nobody sees', async () => {
    const { calls, pull } = fake();
    const loginFile = join(directory, 'config.json');
    const auth = Buffer.from('me:se:cret').toString('base64');
    await writeFile(loginFile, JSON.stringify({ auths: { 'registry.example': { auth } } }));
    await pull('docker://registry.example/a:1', { loginFile });
    const { argv, options } = calls[0] ?? { argv: [], options: { env: {} } };
    expect(argv).toContain('--auth');
    expect((options as CommandOptions).stdin).toBe('me\nse:cret\n');
    expect(JSON.stringify([argv, options.env])).not.toContain('cret');
  });

  it('that a killed runner has left without a description are removed by a later pull', async () => {
    const { pull, target } = fake();
    await pull('docker://a/b');
    const { layers } = parseImageDescription(await readFile(target, 'utf8'));
    const unpacked = join(directory, 'charliecloud');
    await mkdir(join(unpacked, 'orphan'));
    await pull('docker://a/c');
    // The first one has lost its description to the second; both it and the orphan are too young.
    expect((await readdir(unpacked)).length).toBe(3);
    const later = { ...systemClock, nowMs: () => systemClock.nowMs() + 25 * 3_600_000 };
    await fake(undefined, {}, later).pull('docker://a/d');
    const { layers: last } = parseImageDescription(await readFile(target, 'utf8'));
    expect(last).not.toEqual(layers);
    expect((await readdir(unpacked)).length).toBe(2);
  });

  it('may have no configuration', async () => {
    const { target, pull } = fake(undefined, { config: false });
    await pull('docker://a/b');
    expect(JSON.parse(await readFile(target, 'utf8'))).toMatchObject({ layers: [expect.any(String)], config: {} });
  });

  it.each([
    ['docker://busybox', 'registry-1.docker.io/library/busybox:latest'],
    ['docker://docker.io/a/b:1', 'registry-1.docker.io/a/b:1'],
    ['docker://localhost:5000/a', 'localhost:5000/a:latest'],
    [`docker://ghcr.io/a/b:1@sha256:${'a'.repeat(64)}`, `ghcr.io/a/b@sha256:${'a'.repeat(64)}`],
  ])('%s is called %s', async (url, name) => {
    const { calls, pull } = fake();
    await pull(url);
    expect(calls[0]?.argv.at(-2)).toBe(name);
  });

  it.each(['oras://ghcr.io/a/b', 'library://a/b', 'docker-archive:/a.tar'])('%s cannot be had', async (url) => {
    const { calls, pull } = fake();
    await expect(pull(url)).rejects.toMatchObject({ code: 'ErrImagePull' });
    expect(calls).toEqual([]);
  });

  it('fail with its words and leave nothing behind', async () => {
    const stderr =
      'pulling image:    localhost:1/none:1\nerror: unauthorized or not in registry: localhost:1/none:1\n' +
      'hint: if your registry needs authentication, use --auth\n';
    const { pull } = fake({ exitCode: 1, stderr });
    await expect(pull('docker://localhost:1/none:1')).rejects.toMatchObject({
      code: 'ErrImagePull',
      message: 'unauthorized or not in registry: localhost:1/none:1; if your registry needs authentication, use --auth',
    });
    expect((await readdir(directory)).sort()).toEqual(['doomed', 'work']);
  });

  it.each([
    [{ stderr: "Traceback:\nModuleNotFoundError: No module named 'lark'\n" }, "No module named 'lark'"],
    [{}, 'ch-image pull ended with exit code 1'],
    [{ timedOut: true }, 'no end after 2 hours'],
  ])('fail with what there is to say: %j', async (failure, message) => {
    await expect(fake({ exitCode: 1, ...failure }).pull('docker://a/b')).rejects.toThrow(message);
  });
});
