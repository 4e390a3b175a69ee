import { mkdtemp, readdir, readFile, rm, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type Clock, systemClock } from '../../../src/base/clock.ts';
import { silentLogger } from '../../../src/base/logger.ts';
import type { ImageRules } from '../../../src/contract/image-source.ts';
import { resolveApptainerImage } from '../../../src/runner/apptainer-image.ts';
import { ImageStore } from '../../../src/runner/image-store.ts';
import { RegistryKeyring } from '../../../src/runner/registry-keyring.ts';
import { FakePuller } from '../../fakes/fake-puller.ts';
import { FakeRegistry, type FakeRegistryOptions } from '../../fakes/fake-registry.ts';

type Policy = 'Always' | 'IfNotPresent' | 'Never';

const clock: Clock = { ...systemClock, sleep: (ms, options) => systemClock.sleep(ms < 9_000 ? ms / 100 : ms, options) };

let directory: string;
let puller: FakePuller;
const open: AsyncDisposable[] = [];
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'interlink-store-'));
  puller = new FakePuller();
});
afterEach(async () => {
  for (const one of open.splice(0)) await one[Symbol.asyncDispose]();
  await rm(directory, { recursive: true });
});

async function registryWith(options: FakeRegistryOptions = {}): Promise<FakeRegistry> {
  const registry = await FakeRegistry.start(options);
  open.push(registry);
  return registry;
}

/** How a pod with these logins for every registry here gets an image. */
async function resolve(image: string, policy: Policy, passwords: readonly string[] = [], rules: ImageRules = {}) {
  const auths = { '127.0.0.1': {}, ...Object.fromEntries(passwords.map((_, i) => [`unused${i}`, {}])) };
  const secrets = passwords.map((password) => ({
    data: {
      '.dockerconfigjson': Buffer.from(
        JSON.stringify({ auths: { ...auths, [image.split('/')[0] ?? '']: { username: 'me', password } } }),
      ).toString('base64'),
    },
  }));
  const store = new ImageStore({
    directory: join(directory, 'images'),
    loginDirectory: join(directory, 'login'),
    environment: {},
    registries: { plain: 'loopback', isInsecure: false },
    puller,
    clock,
    logger: silentLogger,
  });
  open.unshift({ [Symbol.asyncDispose]: () => store.close() });
  let asked = 0;
  const pull = { keyring: RegistryKeyring.of(secrets, silentLogger), onPulling: () => (asked += 1) };
  const signal = new AbortController().signal;
  const found = await resolveApptainerImage(image, policy, rules, { store, pull, signal });
  return { ...found, content: (await readFile(found.path, 'utf8')).trim(), asked };
}

describe('an image of a registry', () => {
  it('is pulled by its digest, and shown by it under the name that the pod gave', async () => {
    const registry = await registryWith();
    const digest = registry.push('a/b', '1', 'one');
    const found = await resolve(`${registry.host}/a/b:1`, 'IfNotPresent');
    expect(found.imageId).toBe(`${registry.host}/a/b@${digest}`);
    expect(found.content).toBe(`docker://${registry.host}/a/b@${digest}`);
    expect(found.pulled).toMatchObject({ sizeBytes: found.content.length });
    expect(found.path).toContain(`${digest.replace(':', '-')}-${process.arch}`);
  });

  it('is pulled once by twenty jobs at the same time, each of which asks for the digest', async () => {
    const registry = await registryWith();
    registry.push('a', 'latest', 'one');
    const found = await Promise.all(Array.from({ length: 20 }, () => resolve(`${registry.host}/a`, 'Always')));
    expect(puller.pulled).toHaveLength(1);
    expect(new Set(found.map(({ path }) => path)).size).toBe(1);
    expect(registry.requests).toHaveLength(20);
  });

  it('is used without a question when it is here, under IfNotPresent and Never', async () => {
    const registry = await registryWith();
    const image = `${registry.host}/a:1`;
    registry.push('a', '1', 'one');
    await expect(resolve(image, 'Never')).rejects.toMatchObject({ code: 'ErrImageNeverPull' });
    const first = await resolve(image, 'IfNotPresent');
    registry.push('a', '1', 'two');
    for (const policy of ['IfNotPresent', 'Never'] as const) {
      const found = await resolve(image, policy);
      expect(found).toMatchObject({ imageId: first.imageId, path: first.path, asked: 0 });
      expect(found.pulled).toBeUndefined();
    }
    expect(registry.requests).toHaveLength(1);
  });

  it('is looked at again under Always, and downloaded only when it is another one', async () => {
    const registry = await registryWith();
    const image = `${registry.host}/a:1`;
    const one = registry.push('a', '1', 'one');
    await resolve(image, 'Always');
    const same = await resolve(image, 'Always');
    expect(same).toMatchObject({ asked: 1, pulled: {} });
    expect(puller.pulled).toHaveLength(1);
    const two = registry.push('a', '1', 'two');
    expect((await resolve(image, 'Always')).imageId).toContain(two);
    expect((await resolve(image, 'IfNotPresent')).imageId).toContain(two);
    // The old one is still here, for whoever names it.
    expect((await resolve(`${registry.host}/a@${one}`, 'Always')).imageId).toContain(one);
    expect(puller.pulled).toHaveLength(2);
  });

  it('comes from the mirror of the site under its own name', async () => {
    const registry = await registryWith();
    const digest = registry.push('hub/library/busybox', '1', 'one');
    const found = await resolve('busybox:1', 'Always', [], { imageMirrors: { 'docker.io': `${registry.host}/hub` } });
    expect(found.imageId).toBe(`docker.io/library/busybox@${digest}`);
    expect(puller.pulled).toEqual([`docker://${registry.host}/hub/library/busybox@${digest}`]);
  });

  it('may be a SIF file, which oras stands for', async () => {
    const registry = await registryWith();
    const digest = registry.push('sif', '1', 'one');
    const found = await resolve(`oras://${registry.host}/sif:1`, 'Always');
    expect(found.imageId).toBe(`${registry.host}/sif@${digest}`);
    expect(puller.pulled).toEqual([`oras://${registry.host}/sif@${digest}`]);
  });

  it('is not here when its pull failed, and is pulled the next time', async () => {
    const registry = await registryWith();
    const image = `${registry.host}/a:1`;
    registry.push('a', '1', 'one');
    puller.failure = 'no space left on device';
    await expect(resolve(image, 'IfNotPresent')).rejects.toMatchObject({
      code: 'ErrImagePull',
      message: 'no space left on device',
    });
    puller.failure = undefined;
    await expect(resolve(image, 'Never')).rejects.toMatchObject({ code: 'ErrImageNeverPull' });
    expect((await resolve(image, 'IfNotPresent')).pulled).toBeDefined();
  });
});

describe('what is known of names', () => {
  it('is forgotten a day after the last question when the image is gone', async () => {
    const registry = await registryWith();
    const names = join(directory, 'images/names');
    for (const tag of ['gone', 'here']) {
      registry.push('a', tag, tag);
      await resolve(`${registry.host}/a:${tag}`, 'Always');
    }
    await writeFile(join(names, 'torn.json'), '{');
    const before = new Date(systemClock.nowMs() - 25 * 3_600_000);
    for (const name of await readdir(names)) await utimes(join(names, name), before, before);
    const { path } = await resolve(`${registry.host}/a:gone`, 'Never');
    await rm(path);
    registry.push('a', 'new', 'new');
    await resolve(`${registry.host}/a:new`, 'Always');
    const left = await Promise.all((await readdir(names)).map((name) => readFile(join(names, name), 'utf8')));
    const known = left.map((text) => (JSON.parse(text) as { name: string }).name.replace(/^.*:/, ''));
    expect(known.toSorted()).toEqual(['here', 'new']);
  });
});

describe('a private image', () => {
  it('is pulled with the login that the registry takes, from a file that is gone afterwards', async () => {
    const registry = await registryWith({ auth: 'token' });
    registry.push('private/a', '1', 'one');
    await resolve(`${registry.host}/private/a:1`, 'IfNotPresent', ['wrong', 'hush']);
    const auth = Buffer.from('me:hush').toString('base64');
    expect(puller.logins.map(({ content, mode }) => [JSON.parse(content), mode])).toEqual([
      [{ auths: { [registry.host]: { auth } } }, 0o600],
    ]);
    await expect(readFile(puller.logins[0]?.path ?? '')).rejects.toThrow('ENOENT');
  });

  it('leaves no login behind when its pull fails, nor in the cache', async () => {
    const registry = await registryWith({ auth: 'basic' });
    registry.push('private/a', '1', 'one');
    puller.failure = 'broken';
    const image = `${registry.host}/private/a:1`;
    await expect(resolve(image, 'IfNotPresent', ['hush'])).rejects.toThrow('broken');
    await expect(readFile(puller.logins[0]?.path ?? '')).rejects.toThrow('ENOENT');
    puller.failure = undefined;
    await resolve(image, 'IfNotPresent', ['hush']);
    const names = await readdir(join(directory, 'images/names'));
    const known = await readFile(join(directory, 'images/names', names[0] ?? ''), 'utf8');
    expect(known).not.toContain('hush');
    expect(known).not.toContain(Buffer.from('me:hush').toString('base64'));
  });

  it('that is here is only for those who may have it', async () => {
    const registry = await registryWith({ auth: 'basic' });
    const image = `${registry.host}/private/a:1`;
    registry.push('private/a', '1', 'one');
    await resolve(image, 'IfNotPresent', ['hush']);
    const asked = registry.requests.length;
    expect(await resolve(image, 'IfNotPresent', ['hush'])).toMatchObject({ asked: 0 });
    expect(await resolve(image, 'Never', ['wrong', 'hush'])).toMatchObject({ asked: 0 });
    expect(registry.requests).toHaveLength(asked);
    await expect(resolve(image, 'IfNotPresent')).rejects.toThrow('pull access denied');
    await expect(resolve(image, 'IfNotPresent', ['wrong'])).rejects.toThrow('pull access denied');
    await expect(resolve(image, 'Never')).rejects.toMatchObject({ code: 'ErrImageNeverPull' });
    expect(puller.pulled).toHaveLength(1);
  });

  it('that anybody may have is so from then on', async () => {
    const registry = await registryWith({ auth: 'token' });
    const image = `${registry.host}/public/a:1`;
    registry.push('public/a', '1', 'one');
    // Whether the login was needed cannot be told from the outside.
    await resolve(image, 'IfNotPresent', ['hush']);
    expect(await resolve(image, 'IfNotPresent')).toMatchObject({ asked: 1 });
    expect(await resolve(image, 'IfNotPresent')).toMatchObject({ asked: 0 });
    expect(puller.pulled).toHaveLength(1);
  });
});

describe("an image that is no registry's", () => {
  it('is named by its content, and downloaded again under Always only', async () => {
    const url = 'library://sylabs/Examples/lolcow:1';
    const found = await Promise.all([resolve(url, 'IfNotPresent'), resolve(url, 'IfNotPresent')]);
    for (const { imageId, content } of found) {
      expect(imageId).toMatch(/^library:\/\/sylabs\/Examples\/lolcow:1@sha256:[0-9a-f]{64}$/);
      expect(content).toBe(url);
    }
    expect(puller.pulled).toEqual([url]);
    await resolve(url, 'Always');
    expect(puller.pulled).toEqual([url, url]);
    expect((await resolve(url, 'Never')).pulled).toBeUndefined();
  });

  it('is converted once for each version of an archive', async () => {
    const archive = join(directory, 'i.tar');
    const url = `docker-archive:${archive}`;
    const rules = { imagePaths: [directory] };
    await writeFile(archive, 'one');
    for (const policy of ['Always', 'IfNotPresent', 'Never'] as const)
      expect(await resolve(url, policy, [], rules)).toMatchObject({ imageId: url, content: url, asked: 0 });
    expect(puller.pulled).toEqual([url]);
    await writeFile(archive, 'another');
    await resolve(url, 'IfNotPresent', [], rules);
    expect(puller.pulled).toEqual([url, url]);
  });
});
