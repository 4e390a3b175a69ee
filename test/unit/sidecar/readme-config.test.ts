import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { parse } from 'yaml';
import { sidecarConfig } from '../../../src/sidecar/config.ts';

it('the configuration that README.md shows for a site is valid, and means what it says', () => {
  const readme = readFileSync(new URL('../../../README.md', import.meta.url), 'utf8');
  const blocks = [...readme.matchAll(/```yaml\n(sidecar:.*?)```/gs)].map(([, text = '']) => parse(text));
  expect(blocks).toHaveLength(1);
  const { volumes } = sidecarConfig.parse(blocks[0].sidecar);
  expect(volumes.hostPaths.map(({ path, create, readOnly }) => [path, create, readOnly])).toEqual([
    ['/data', false, true],
    ['/scratch/pods', true, false],
  ]);
  expect(volumes.claims.results).toMatchObject({ path: '/gpfs/results', subPathPerPod: true });
});
