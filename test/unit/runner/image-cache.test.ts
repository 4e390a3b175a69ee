import { mkdir, mkdtemp, readdir, readFile, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type Clock, systemClock } from '../../../src/base/clock.ts';
import type { CommandResult, CommandRunner } from '../../../src/base/command.ts';
import { silentLogger } from '../../../src/base/logger.ts';
import { resolveApptainerImage } from '../../../src/runner/apptainer-image.ts';
import { apptainerPuller } from '../../../src/runner/apptainer-puller.ts';
import { ImageCache } from '../../../src/runner/image-cache.ts';
import { RegistryKeyring } from '../../../src/runner/registry-keyring.ts';

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'interlink-images-'));
});
afterEach(() => rm(directory, { recursive: true }));

const signal = new AbortController().signal;
const pull = { keyring: RegistryKeyring.of([], silentLogger), onPulling: () => {} };

/** Waits for a lock a hundred times faster than life; what takes longer takes as long as ever. */
const clock: Clock = { ...systemClock, sleep: (ms, options) => systemClock.sleep(ms < 1_000 ? ms / 100 : ms, options) };

/** Plays `apptainer pull`: writes the URL into the file that it is asked for, or fails. */
function puller(failure?: Partial<CommandResult>): { commands: CommandRunner; calls: string[][]; env: object[] } {
  const calls: string[][] = [];
  const env: object[] = [];
  const commands: CommandRunner = {
    async run(argv, options) {
      calls.push([...argv]);
      env.push(options.env);
      await writeFile(argv.at(-2) ?? '', argv.at(-1) ?? '', { mode: 0o755 });
      const base = { argv, exitSignal: null, stdout: '', stderr: '', timedOut: false, truncated: false };
      return { ...base, exitCode: 0, ...failure };
    },
  };
  return { commands, calls, env };
}

function cacheWith(commands: CommandRunner): ImageCache {
  const environment = { PATH: '/bin', HTTPS_PROXY: 'http://proxy:3128' };
  const puller = apptainerPuller({ program: 'apptainer', noHttps: false, environment, commands });
  return new ImageCache({ directory, puller, clock });
}

describe('pulled images', () => {
  it('are fetched once by any number of containers at the same time', async () => {
    const { commands, calls } = puller();
    // Each one as another job would: with a cache object of its own.
    const paths = await Promise.all(
      [1, 2, 3].map(() => cacheWith(commands).pull('docker://ghcr.io/a/b:1', signal, false)),
    );
    expect(new Set(paths).size).toBe(1);
    expect(calls).toHaveLength(1);
    expect(calls[0]?.slice(0, 4)).toEqual(['apptainer', '--silent', 'pull', '--force']);
    expect(await readFile(paths[0] ?? '', 'utf8')).toBe('docker://ghcr.io/a/b:1');
  });

  it("are nobody else's, and the tool works in the cache's own directory with the site's proxies", async () => {
    const { commands, env } = puller();
    const path = await cacheWith(commands).pull('docker://x/y', signal, true);
    expect((await stat(path)).mode & 0o777).toBe(0o600);
    expect((await stat(directory)).mode & 0o777).toBe(0o700);
    expect(env).toEqual([
      expect.objectContaining({ HTTPS_PROXY: 'http://proxy:3128', APPTAINER_CACHEDIR: join(directory, 'layers') }),
    ]);
    expect(await readdir(directory)).toEqual([expect.stringMatching(/^[0-9a-f]{64}\.sif$/)]);
  });

  it('come by plain HTTP from this machine only', async () => {
    const { commands, calls } = puller();
    for (const url of ['docker://localhost:5000/a', 'docker://127.0.0.1:1/a', 'docker://localhost.evil/a'])
      await cacheWith(commands).pull(url, signal, true);
    expect(calls.map((argv) => argv.includes('--no-https'))).toEqual([true, true, false]);
  });

  it('fail with the words of the tool and leave nothing behind', async () => {
    const red = '\u001b[31m';
    const stderr = `INFO:    Starting\n${red}FATAL:  ${red} While making image: manifest unknown\n`;
    const cache = cacheWith(puller({ exitCode: 255, stderr }).commands);
    await expect(cache.pull('docker://x/none', signal, true)).rejects.toMatchObject({
      code: 'ErrImagePull',
      message: 'While making image: manifest unknown',
    });
    expect(await readdir(directory)).toEqual([]);
  });

  it('fail with the exit code when the tool says nothing', async () => {
    const cache = cacheWith(puller({ exitCode: 3 }).commands);
    await expect(cache.pull('docker://x/y', signal, true)).rejects.toThrow('apptainer pull ended with exit code 3');
  });

  it('are taken over from a holder of the lock that died', async () => {
    const { commands } = puller();
    const path = await cacheWith(commands).pull('docker://x/y', signal, true);
    await mkdir(`${path}.lock`);
    const old = new Date(systemClock.nowMs() - 3_600_000);
    await utimes(`${path}.lock`, old, old);
    await expect(cacheWith(commands).pull('docker://x/y', signal, true)).resolves.toBe(path);
  });

  it('are waited for no longer than the pod lives', async () => {
    const { commands } = puller();
    const path = await cacheWith(commands).pull('docker://x/y', signal, true);
    await mkdir(`${path}.lock`);
    const stop = AbortSignal.abort(new Error('stopped'));
    await expect(cacheWith(commands).pull('docker://x/y', stop, true)).rejects.toThrow('stopped');
  });
});

describe('an image name becomes a file', () => {
  const resolve = (
    image: string,
    policy: 'Always' | 'IfNotPresent' | 'Never',
    commands: CommandRunner,
    settings: Parameters<typeof resolveApptainerImage>[2] = {},
  ) => resolveApptainerImage(image, policy, settings, { cache: cacheWith(commands), pull, signal });

  it('by the map of the site, with any tag or digest behind', async () => {
    const { commands, calls } = puller();
    const sif = join(directory, 'b.sif');
    await writeFile(sif, '');
    const imageMap = { 'localhost/busybox': sif, 'ghcr.io/': directory };
    for (const image of ['localhost/busybox', 'localhost/busybox:1', `localhost/busybox@sha256:${'a'.repeat(64)}`])
      expect(await resolve(image, 'Always', commands, { imageMap })).toEqual({ path: sif, imageId: image });
    expect(await resolve('ghcr.io/b.sif', 'Never', commands, { imageMap })).toMatchObject({ path: sif });
    await resolve('localhost/busybox-other', 'Always', commands, { imageMap });
    expect(calls.map((argv) => argv.at(-1))).toEqual(['docker://localhost/busybox-other']);
  });

  it('as its own path, by a scheme of its own, or behind the prefix of the site', async () => {
    const { commands, calls } = puller();
    const sif = join(directory, 'b.sif');
    await writeFile(sif, '');
    expect(await resolve(sif, 'Never', commands)).toMatchObject({ path: sif });
    await resolve('library://a/B', 'IfNotPresent', commands);
    await resolve('app', 'IfNotPresent', commands, { imagePrefix: 'docker://mirror.site/' });
    expect(calls.map((argv) => argv.at(-1))).toEqual(['library://a/B', 'docker://mirror.site/app']);
  });

  it('from the cache unless the pod wants it to be looked at again', async () => {
    const { commands, calls } = puller();
    await resolve('a/b', 'IfNotPresent', commands);
    await resolve('a/b', 'IfNotPresent', commands);
    await resolve('a/b', 'Never', commands);
    expect(calls).toHaveLength(1);
    await resolve('a/b', 'Always', commands);
    expect(calls).toHaveLength(2);
  });

  it('or not, in the words of a kubelet', async () => {
    const { commands, calls } = puller();
    await expect(resolve('localhost/absent:1', 'Never', commands)).rejects.toMatchObject({
      code: 'ErrImageNeverPull',
      message: 'Container image "localhost/absent:1" is not present with pull policy of Never',
    });
    await expect(resolve('/no/such.sif', 'Never', commands)).rejects.toMatchObject({ code: 'ErrImageNeverPull' });
    await expect(resolve('/no/such.sif', 'Always', commands)).rejects.toMatchObject({ code: 'ErrImagePull' });
    await expect(resolve('UPPER/Case:tag', 'Always', commands)).rejects.toMatchObject({ code: 'InvalidImageName' });
    expect(calls).toEqual([]);
  });
});
