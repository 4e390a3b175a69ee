import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { silentLogger } from '../../../src/base/logger.ts';
import type { ImageRules } from '../../../src/contract/image-source.ts';
import { resolveApptainerImage } from '../../../src/runner/apptainer-image.ts';
import type { ImageStore } from '../../../src/runner/image-store.ts';
import { RegistryKeyring } from '../../../src/runner/registry-keyring.ts';

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'interlink-image-'));
});
afterEach(() => rm(directory, { recursive: true }));

/** Nothing here comes from a store. */
const store = {} as ImageStore;
const pull = { keyring: RegistryKeyring.of([], silentLogger), onPulling: () => {} };
const signal = new AbortController().signal;
const resolve = (image: string, policy: 'Always' | 'IfNotPresent' | 'Never', rules: ImageRules = {}) =>
  resolveApptainerImage(image, policy, rules, { store, pull, signal });

describe('an image in a file', () => {
  it('is used as it is, by the map of the site or by its path', async () => {
    const sif = join(directory, 'b.sif');
    await writeFile(sif, '');
    const imageMap = { 'localhost/busybox': sif };
    for (const policy of ['Always', 'IfNotPresent', 'Never'] as const)
      expect(await resolve('localhost/busybox:1', policy, { imageMap })).toEqual({
        path: sif,
        imageId: 'localhost/busybox:1',
      });
    expect(await resolve(sif, 'Never', { imagePaths: [directory] })).toEqual({ path: sif, imageId: sif });
  });

  it('may be reached by links that stay where images may be, and by no others', async () => {
    const allowed = join(directory, 'allowed');
    await mkdir(join(allowed, '.flat/abc'), { recursive: true });
    await mkdir(join(directory, 'secret'));
    await symlink('.flat/abc', join(allowed, 'image:1'));
    await symlink('../secret', join(allowed, 'trick'));
    const rules = { imagePaths: [allowed] };
    expect(await resolve(join(allowed, 'image:1'), 'Always', rules)).toMatchObject({ path: join(allowed, 'image:1') });
    await expect(resolve(join(allowed, 'trick'), 'Always', rules)).rejects.toMatchObject({
      code: 'ErrImagePull',
      message: expect.stringContaining(`leads to ${join(directory, 'secret')}; images by path are allowed below`),
    });
    await symlink('allowed', join(directory, 'other'));
    const byLink = { imagePaths: [join(directory, 'other')] };
    expect(await resolve(join(directory, 'other/image:1'), 'Always', byLink)).toBeDefined();
  });

  it('or none, in the words of a kubelet', async () => {
    const rules = { imagePaths: [directory], imageAllow: ['/**', 'localhost/*'] };
    const missing = join(directory, 'none.sif');
    await expect(resolve(missing, 'Never', rules)).rejects.toMatchObject({
      code: 'ErrImageNeverPull',
      message: `Container image "${missing}" is not present with pull policy of Never`,
    });
    await expect(resolve(missing, 'Always', rules)).rejects.toMatchObject({ code: 'ErrImagePull' });
    await expect(resolve('UPPER/Case:tag', 'Always', rules)).rejects.toMatchObject({ code: 'InvalidImageName' });
    await expect(resolve('quay.io/a', 'Always', rules)).rejects.toMatchObject({
      code: 'ErrImagePull',
      message: expect.stringContaining('is not allowed at this site'),
    });
  });
});
