import { describe, expect, it } from 'vitest';
import { imageFaults } from '../../../src/sidecar/batch/image-faults.ts';
import { sidecarConfig } from '../../../src/sidecar/config.ts';
import { createPod } from '../../fakes/bundle.ts';

const pod = createPod(({ spec }) => {
  spec.initContainers = [{ name: 'i', image: '/home/hpc' }];
  spec.containers = [
    { name: 'a', image: 'busybox:1' },
    { name: 'b', image: 'ghcr.io/a/b' },
    { name: 'c', image: 'UPPER/Case:tag' },
  ];
});

describe('the images of a pod', () => {
  it('are refused by their field and the rule, but for what is no name at all', () => {
    expect(imageFaults(pod, { name: 'apptainer', imageAllow: ['docker.io/library/*', '/**'] })).toEqual([
      'spec.initContainers[0].image: image "/home/hpc": images by path are allowed below /cvmfs only (sidecar.runtime.imagePaths)',
      'spec.containers[1].image: image "ghcr.io/a/b" (ghcr.io/a/b) is not allowed at this site; allowed are docker.io/library/*, /** (sidecar.runtime.imageAllow)',
    ]);
  });

  it('do not matter to a runtime that has none', () => {
    expect(imageFaults(pod, { name: 'process', imageAllow: [] })).toEqual([]);
  });
});

describe('the rules of a site', () => {
  const parse = (runtime: object) => sidecarConfig.safeParse({ runtime });

  it('are generous unless the site says more', () => {
    expect(parse({}).data?.runtime).toMatchObject({ imagePaths: ['/cvmfs'], imageCacheBytes: 200 * 1024 ** 3 });
    expect(parse({}).data?.runtime.imageAllow).toBeUndefined();
  });

  it.each([
    ['1500Mi', 1500 * 1024 ** 2],
    ['2T', 2e12],
    [1e9, 1e9],
  ])('take %s as a size', (imageCacheBytes, bytes) => {
    expect(parse({ imageCacheBytes }).data?.runtime.imageCacheBytes).toBe(bytes);
  });

  it.each([
    [{ imageCacheBytes: 'much' }, 'is not a quantity'],
    [{ imageCacheBytes: '0' }, 'at least one byte'],
    [{ imageCacheBytes: -1 }, 'at least one byte'],
    [{ imageMirrors: { 'docker.io': 'https://m.site' } }, 'must be a registry'],
    [{ imageMirrors: { 'docker.io': '' } }, 'must be a registry'],
    [{ imagePaths: ['cvmfs'] }, 'must start with'],
    [{ imageCache: 'images' }, 'must start with'],
  ])('refuse %o', (runtime, words) => {
    expect(parse(runtime).error?.message).toContain(words);
  });
});
