import { mkdir, mkdtemp, realpath, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { exposedPlaces } from '../../../src/sidecar/exposed-places.ts';
import { volumesConfig } from '../../../src/sidecar/site-config.ts';

it('names the places that hold the state directory, also by a link, and no others', async () => {
  const root = await realpath(await mkdtemp(join(tmpdir(), 'interlink-exposed-')));
  await mkdir(join(root, 'home/state'), { recursive: true });
  await mkdir(join(root, 'home/states'));
  await symlink('home', join(root, 'link'));
  const places = volumesConfig.parse({
    hostPaths: [
      { path: join(root, 'home/states') },
      { path: '/data', rewrite: join(root, 'link') },
      { path: '/only/on/workers' },
      { path: '/' },
    ],
    claims: { a: { path: join(root, 'home/state') }, b: { path: join(root, 'home/state/jobs') } },
  });
  expect(exposedPlaces(places, join(root, 'home/state'))).toEqual([
    'sidecar.volumes.hostPaths[1]',
    'sidecar.volumes.hostPaths[3]',
    'sidecar.volumes.claims.a',
  ]);
  await rm(root, { recursive: true });
});
