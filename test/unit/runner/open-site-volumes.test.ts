import { chmod, mkdir, mkdtemp, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { JobSpec } from '../../../src/contract/job-directory.ts';
import type { SiteVolume } from '../../../src/contract/site-volume.ts';
import { openSiteVolumes } from '../../../src/runner/open-site-volumes.ts';

let root: string;

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'interlink-site-'));
  await mkdir(join(root, 'open/data'), { recursive: true });
  await mkdir(join(root, 'closed'));
  await writeFile(join(root, 'open/file'), 'f');
  await symlink('../closed', join(root, 'open/out'));
  await symlink('data', join(root, 'open/in'));
  await symlink('open', join(root, 'alias'));
});
afterEach(() => rm(root, { recursive: true }));

function open(path: string, more: Partial<SiteVolume> = {}) {
  const volume: SiteVolume = {
    within: join(root, 'open'),
    readOnly: false,
    type: '',
    create: false,
    ...more,
    path: join(root, path),
  };
  const spec = { siteVolumes: { v: volume } } as Partial<JobSpec> as JobSpec;
  return openSiteVolumes(spec).then((volumes) => volumes.get('v'));
}

describe('a place of the site', () => {
  it("is found without its symbolic links, and is the site's", async () => {
    expect(await open('open/in')).toEqual({
      name: 'v',
      path: join(root, 'open/data'),
      alwaysReadOnly: false,
      isSite: true,
      onDemand: false,
    });
    expect(await open('open/data', { readOnly: true })).toMatchObject({ alwaysReadOnly: true });
    expect(await open('alias/data', { within: join(root, 'alias') })).toMatchObject({ path: join(root, 'open/data') });
  });

  it.each<[string, Partial<SiteVolume>, string]>([
    ['open/gone', {}, 'open/gone does not exist on '],
    ['open/gone', { type: 'DirectoryOrCreate' }, 'does not exist'],
    ['open/out', {}, 'leads out of'],
    ['open/out/x', { type: 'DirectoryOrCreate', create: true }, 'leads out of'],
    ['open/file', { type: 'Directory' }, 'hostPath type check failed: '],
    ['open/file', { type: 'DirectoryOrCreate', create: true }, 'file is not a directory'],
    ['open/data', { type: 'File' }, 'data is not a file'],
    ['open/data', { type: 'Socket' }, 'data is not a socket file'],
    ['open/file', { type: 'CharDevice' }, 'file is not a character device'],
    ['open/file', { type: 'BlockDevice' }, 'file is not a block device'],
    ['open/data', { within: '/no/such/place' }, '/no/such/place, which this site opens to pods, does not exist on '],
  ])("is refused in a kubelet's words: %s %o", async (path, more, message) => {
    await expect(open(path, more)).rejects.toMatchObject({
      kind: 'Invalid',
      message: expect.stringMatching(/^MountVolume\.SetUp failed for volume "v" : /),
    });
    await expect(open(path, more)).rejects.toThrow(message);
    await expect(stat(join(root, 'closed/x'))).rejects.toThrow('ENOENT');
  });

  it('is of each type that it is said to be', async () => {
    expect(await open('open/file', { type: 'File' })).toBeDefined();
    const server = createServer().listen(join(root, 'open/socket'));
    await new Promise((resolve) => server.once('listening', resolve));
    expect(await open('open/socket', { type: 'Socket' })).toBeDefined();
    server.close();
    const device = { path: '/dev/null', within: '/dev', readOnly: false, type: 'CharDevice', create: false } as const;
    expect((await openSiteVolumes({ siteVolumes: { v: device } } as Partial<JobSpec> as JobSpec)).get('v')?.path).toBe(
      '/dev/null',
    );
  });

  it('is made where that is allowed, with the mode of the directory above', async () => {
    await chmod(join(root, 'open'), 0o2770);
    await open('open/new/er', { type: 'DirectoryOrCreate', create: true });
    expect((await stat(join(root, 'open/new'))).mode & 0o7777).toBe(0o2770);
    expect((await stat(join(root, 'open/new/er'))).mode & 0o7777).toBe(0o2770);
    expect(await open('open/any', { create: true })).toBeDefined();
    await open('open/file', { type: 'FileOrCreate', create: true });
    expect(await readFile(join(root, 'open/file'), 'utf8')).toBe('f');
    await open('open/empty', { type: 'FileOrCreate', create: true });
    expect(await readFile(join(root, 'open/empty'), 'utf8')).toBe('');
  });

  it('is not made when the place itself is missing, or it should be there already', async () => {
    await expect(open('open/x', { within: join(root, 'gone'), create: true })).rejects.toThrow(
      'which this site opens to pods, does not exist',
    );
    await expect(open('open/x', { type: 'Directory', create: true })).rejects.toThrow('does not exist');
  });
});
