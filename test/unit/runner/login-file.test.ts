import { mkdtemp, readdir, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { silentLogger } from '../../../src/base/logger.ts';
import { Secret } from '../../../src/base/secret.ts';
import { withLoginFile } from '../../../src/runner/login-file.ts';

let parent: string;
let directory: string;
beforeEach(async () => {
  parent = await mkdtemp('/dev/shm/test-login-');
  directory = await mkdtemp(join(tmpdir(), 'interlink-login-'));
});
afterEach(async () => {
  for (const path of [parent, directory]) await rm(path, { recursive: true });
});

const credential = { username: 'me', password: new Secret('hush') };
const auth = Buffer.from('me:hush').toString('base64');

describe('the file with a login', () => {
  it.each([
    ['r.site:5000', { 'r.site:5000': { auth } }],
    ['docker.io', { 'docker.io': { auth }, 'https://index.docker.io/v1/': { auth } }],
  ])('for %s lies in memory for its owner alone, and only as long as it is used', async (domain, auths) => {
    let path = '';
    const result = await withLoginFile(
      domain,
      credential,
      { directory, logger: silentLogger, parent },
      async (file) => {
        path = file;
        expect(JSON.parse(await readFile(file, 'utf8'))).toEqual({ auths });
        expect((await stat(file)).mode & 0o777).toBe(0o600);
        expect((await stat(dirname(file))).mode & 0o777).toBe(0o700);
        // By this name the next runner finds what a killed one has left.
        expect(basename(dirname(file))).toMatch(/^interlink-login-/);
        expect(dirname(dirname(file))).toBe(parent);
        return 'done';
      },
    );
    expect(result).toBe('done');
    await expect(stat(path)).rejects.toThrow('ENOENT');
    expect(await readdir(parent)).toEqual([]);
  });

  it('is gone when the work fails', async () => {
    const work = (): Promise<never> => Promise.reject(new Error('no'));
    const deps = { directory, logger: silentLogger, parent };
    await expect(withLoginFile('r.site', credential, deps, work)).rejects.toThrow('no');
    expect(await readdir(parent)).toEqual([]);
  });

  it('lies with the secrets of the pod on a worker without memory for it', async () => {
    const deps = { directory: join(directory, 'login'), logger: silentLogger, parent: directory };
    await withLoginFile('r.site', credential, deps, async (file) => {
      expect(file.startsWith(join(directory, 'login'))).toBe(true);
      expect((await stat(dirname(file))).mode & 0o777).toBe(0o700);
    });
    expect(await readdir(join(directory, 'login'))).toEqual([]);
  });
});
