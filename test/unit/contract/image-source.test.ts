import { describe, expect, it } from 'vitest';
import { renderReference } from '../../../src/contract/image-reference.ts';
import { type ImageRules, imageSource } from '../../../src/contract/image-source.ts';

const digest = `sha256:${'a'.repeat(64)}`;

/** A source in one line. */
function sourceOf(image: string, rules: ImageRules = {}): string {
  const source = imageSource(image, rules);
  switch (source.kind) {
    case 'registry':
      return `${source.scheme}://${renderReference(source.reference)}`;
    case 'path':
      return `path ${source.path} below ${source.below ?? 'anything'}`;
    case 'archive':
      return `${source.url} at ${source.path} below ${source.below ?? 'anything'}`;
    case 'url':
      return source.url;
  }
}

describe('the name of an image', () => {
  it.each<[image: string, rules: ImageRules, source: string]>([
    ['busybox', {}, 'docker://docker.io/library/busybox:latest'],
    ['docker://ghcr.io/a/b:1', {}, 'docker://ghcr.io/a/b:1'],
    [`r.site:5000/a:1@${digest}`, {}, `docker://r.site:5000/a@${digest}`],
    ['oras://ghcr.io/a/sif:1', {}, 'oras://ghcr.io/a/sif:1'],
    ['library://sylabs/Examples/lolcow:1', {}, 'library://sylabs/Examples/lolcow:1'],
    ['https://site/images/a.sif', {}, 'https://site/images/a.sif'],
    ['/cvmfs/unpacked.cern.ch/a//b/../c', {}, 'path /cvmfs/unpacked.cern.ch/a/c below /cvmfs'],
    ['/data/i.sif', { imagePaths: ['/sw', '/data/'] }, 'path /data/i.sif below /sw,/data/'],
    ['/any', { imagePaths: ['/'] }, 'path /any below /'],
    ['oci-archive:/cvmfs/i.oci', {}, 'oci-archive:/cvmfs/i.oci at /cvmfs/i.oci below /cvmfs'],
    ['docker-archive:/cvmfs/i.tar', {}, 'docker-archive:/cvmfs/i.tar at /cvmfs/i.tar below /cvmfs'],
    // The map of the site
    ['localhost/b', { imageMap: { 'localhost/b': '/i/b.sif' } }, 'path /i/b.sif below anything'],
    [`localhost/b:2@${digest}`, { imageMap: { 'localhost/b': '/i/b.sif' } }, 'path /i/b.sif below anything'],
    ['localhost/bb', { imageMap: { 'localhost/b': '/i/b.sif' } }, 'docker://localhost/bb:latest'],
    ['ghcr.io/a/b.sif', { imageMap: { 'ghcr.io/': '/i/' } }, 'path /i/a/b.sif below anything'],
    ['busybox:1', { imageMap: { 'docker.io/library/busybox': '/i/b.sif' } }, 'path /i/b.sif below anything'],
    ['a/b', { imageMap: { 'a/b': 'oras://r.site/a' } }, 'oras://r.site/a:latest'],
    // Its prefix
    ['a/b:1', { imagePrefix: 'docker://mirror.site/' }, 'docker://mirror.site/a/b:1'],
    ['docker://a.b/c', { imagePrefix: 'docker://mirror.site/' }, 'docker://a.b/c:latest'],
    ['a/b:1', { imagePrefix: '/cvmfs/unpacked/' }, 'path /cvmfs/unpacked/a/b:1 below /cvmfs'],
    // Its mirrors
    ['busybox', { imageMirrors: { 'docker.io': 'm.site/hub' } }, 'docker://m.site/hub/library/busybox:latest'],
    [`quay.io/a/b@${digest}`, { imageMirrors: { 'quay.io': 'm.site:5000' } }, `docker://m.site:5000/a/b@${digest}`],
    ['quay.io/a/b', { imageMirrors: { 'quay.io': 'm', 'quay.io/a': 'n.site' } }, 'docker://n.site/b:latest'],
    ['quay.io/ab/c', { imageMirrors: { 'quay.io/a': 'n.site' } }, 'docker://quay.io/ab/c:latest'],
    ['oras://quay.io/a', { imageMirrors: { 'quay.io': 'n.site' } }, 'oras://n.site/a:latest'],
    // Its list
    ['busybox:1', { imageAllow: ['docker.io/library/*'] }, 'docker://docker.io/library/busybox:1'],
    ['ghcr.io/a/b/c', { imageAllow: ['ghcr.io/**'] }, 'docker://ghcr.io/a/b/c:latest'],
    ['busybox:1.36', { imageAllow: ['docker.io/library/busybox:1.??'] }, 'docker://docker.io/library/busybox:1.36'],
    ['a/b', { imageAllow: ['m.site/**'], imageMirrors: { 'docker.io': 'm.site' } }, 'docker://m.site/a/b:latest'],
    ['b', { imageAllow: ['m.site/**'], imagePrefix: 'docker://m.site/' }, 'docker://m.site/b:latest'],
    ['b', { imageAllow: ['docker.io/library/b'], imageMap: { b: '/i/b.sif' } }, 'path /i/b.sif below anything'],
    ['/cvmfs/a', { imageAllow: ['/cvmfs/**'] }, 'path /cvmfs/a below /cvmfs'],
  ])('%s with %o is %s', (image, rules, source) => {
    expect(sourceOf(image, rules)).toBe(source);
  });

  it.each<[image: string, rules: ImageRules, message: RegExp]>([
    ['shub://a/b', {}, /Singularity Hub was shut down/],
    ['http://site/a.sif', {}, /not fetched by http:\/\/; use docker:\/\//],
    ['file:///etc', {}, /not fetched by file:/],
    ['/', {}, /below \/cvmfs only \(sidecar\.runtime\.imagePaths\)/],
    ['/home/hpc', {}, /below \/cvmfs only/],
    ['/cvmfs/../home', {}, /below \/cvmfs only/],
    ['/cvmfsx', {}, /below \/cvmfs only/],
    ['docker-archive:/cvmfs/../home/i.tar', {}, /below \/cvmfs only/],
    ['/cvmfs/a', { imagePaths: [] }, /below no directory only/],
    ['etc', { imagePrefix: '/' }, /below \/cvmfs only/],
    [
      'a/b',
      { imageAllow: ['docker.io/library/*'] },
      /"a\/b" \(docker\.io\/a\/b\) is not allowed at this site; allowed are docker\.io\/library\/\* \(sidecar\.runtime\.imageAllow\)/,
    ],
    ['docker.io/library/a/b', { imageAllow: ['docker.io/library/*'] }, /not allowed/],
    ['oras://ghcr.io/a/b', { imageAllow: ['ghcr.io/**'] }, /not allowed/],
    ['xghcr.io/a', { imageAllow: ['ghcr.io/**'] }, /not allowed/],
    ['ghcr-io/a', { imageAllow: ['ghcr.io/**'] }, /not allowed/],
    ['busybox', { imageAllow: [] }, /not allowed/],
    ['busybox', { imageAllow: ['docker.io/library/*'], imagePrefix: 'docker://elsewhere.site/' }, /not allowed/],
  ])('%s with %o is refused by the rule', (image, rules, message) => {
    expect(() => imageSource(image, rules)).toThrow(
      expect.objectContaining({ kind: 'Invalid', code: 'image.refused', message: expect.stringMatching(message) }),
    );
  });

  it.each(['UPPER/Case:tag', 'docker://a b', 'oras://x/Y', ''])(
    '%j is none, whatever the map of the site says',
    (image) => {
      const imageMap = { [image]: '/i.sif' };
      expect(() => imageSource(image, { imageMap })).toThrow(expect.objectContaining({ code: 'InvalidImageName' }));
    },
  );
});
