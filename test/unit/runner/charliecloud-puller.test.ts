import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { CommandOptions, CommandResult, CommandRunner } from '../../../src/base/command.ts';
import { charliecloudPuller } from '../../../src/runner/charliecloud-puller.ts';
import { parseImageDescription } from '../../../src/runner/image-description.ts';

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'interlink-charliecloud-'));
});
afterEach(() => rm(directory, { recursive: true }));

const signal = new AbortController().signal;
const MANIFEST = '{"schemaVersion":2}';
const CONFIG = { User: 'app', Cmd: ['id'], Env: ['PATH=/bin'] };

/** Plays `ch-image pull` 0.31: leaves what it leaves in its storage, or fails. */
function fake(failure?: Partial<CommandResult>, files: { config?: boolean; manifest?: boolean } = {}) {
  const calls: { argv: readonly string[]; options: CommandOptions }[] = [];
  const commands: CommandRunner = {
    async run(argv, options) {
      calls.push({ argv, options });
      const storage = argv[argv.indexOf('--storage') + 1] ?? '';
      const image = join(storage, 'img', argv.at(-1) ?? '');
      await mkdir(join(image, 'ch'), { recursive: true });
      await mkdir(join(storage, 'dlcache'));
      await writeFile(join(image, 'passwd'), 'root');
      const { config = true, manifest = true } = files;
      if (config)
        await writeFile(join(image, 'ch/config.pulled.json'), JSON.stringify({ os: 'linux', config: CONFIG }));
      if (manifest) await writeFile(join(storage, `dlcache/${argv.at(-1)}.fat.json`), MANIFEST);
      const base = { argv, exitCode: 0, exitSignal: null, stdout: '', stderr: '', timedOut: false, truncated: false };
      return { ...base, ...failure };
    },
  };
  const puller = charliecloudPuller({
    program: 'ch-image',
    options: ['--tls-no-verify'],
    environment: { PATH: '/bin', USER: 'me' },
    commands,
  });
  const target = join(directory, 'x.json');
  return { puller, calls, target, pull: (url: string) => puller.pull({ url, target, directory, signal }) };
}

describe('images that Charliecloud pulls', () => {
  it('are a directory beside their description, and nothing else stays', async () => {
    const { puller, target, calls, pull } = fake();
    await pull('docker://registry.example/site/app:1');
    const { layers, config, digest } = parseImageDescription(await readFile(target, 'utf8'));
    expect(config).toMatchObject({ user: 'app', cmd: ['id'], env: [['PATH', '/bin']] });
    expect(digest).toBe(`sha256:${createHash('sha256').update(MANIFEST).digest('hex')}`);
    expect(await readFile(join(layers[0] ?? '', 'passwd'), 'utf8')).toBe('root');
    expect((await readdir(directory)).sort()).toEqual([expect.stringMatching(/^rootfs-[0-9a-f]{16}$/), 'x.json']);
    expect(calls[0]?.argv).toEqual([
      ...['ch-image', '--storage', expect.stringMatching(`^${target}`), '--tls-no-verify'],
      ...['pull', 'registry.example/site/app:1', 'image'],
    ]);
    expect(calls[0]?.options.env).toEqual({ PATH: '/bin', USER: 'me', CH_IMAGE_CACHE: 'disabled' });
    expect(await puller.has(target)).toBe(true);
    await puller.remove(target);
    expect(await readdir(directory)).toEqual([]);
    expect(await puller.has(target)).toBe(false);
    await puller.remove(target);
  });

  it('may have neither configuration nor manifest', async () => {
    const { target, pull } = fake(undefined, { config: false, manifest: false });
    await pull('docker://a/b');
    expect(JSON.parse(await readFile(target, 'utf8'))).toEqual({ layers: [expect.any(String)], config: {} });
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
    expect(await readdir(directory)).toEqual([]);
  });

  it.each([
    [{ stderr: "Traceback:\nModuleNotFoundError: No module named 'lark'\n" }, "No module named 'lark'"],
    [{}, 'ch-image pull ended with exit code 1'],
    [{ timedOut: true }, 'no end after 2 hours'],
  ])('fail with what there is to say: %j', async (failure, message) => {
    await expect(fake({ exitCode: 1, ...failure }).pull('docker://a/b')).rejects.toThrow(message);
  });
});
