import { describe, expect, it } from 'vitest';
import { parseImageReference } from '../../../src/contract/image-reference.ts';

describe('an image name', () => {
  it.each([
    ['busybox', { domain: 'docker.io', path: 'library/busybox' }],
    ['user/app:1.2', { domain: 'docker.io', path: 'user/app', tag: '1.2' }],
    ['localhost/busybox:latest', { domain: 'localhost', path: 'busybox', tag: 'latest' }],
    ['127.0.0.1:1/no/image:1', { domain: '127.0.0.1:1', path: 'no/image', tag: '1' }],
    ['ghcr.io/a/b__c/d-e', { domain: 'ghcr.io', path: 'a/b__c/d-e' }],
    [`q.io/x@sha256:${'a'.repeat(64)}`, { domain: 'q.io', path: 'x', digest: `sha256:${'a'.repeat(64)}` }],
    [`q.io/x:t@sha256:${'a'.repeat(64)}`, { domain: 'q.io', path: 'x', tag: 't', digest: `sha256:${'a'.repeat(64)}` }],
    ['UPPER/case:tag', { domain: 'UPPER', path: 'case', tag: 'tag' }],
  ])('%s is taken apart', (image, parts) => {
    expect(parseImageReference(image)).toEqual(parts);
  });

  it.each([
    ['UPPER/Case:tag', 'invalid reference format: repository name (Case) must be lowercase'],
    ['Busybox', 'invalid reference format: repository name (library/Busybox) must be lowercase'],
    ['', 'invalid reference format'],
    ['a b', 'invalid reference format'],
    ['x:', 'invalid reference format'],
    [`x:${'t'.repeat(129)}`, 'invalid reference format'],
    ['x@sha256:12', 'invalid reference format'],
    ['a//b', 'invalid reference format'],
    ['-x', 'invalid reference format'],
    ['a/../b', 'invalid reference format'],
    ['f'.repeat(64), `invalid repository name (${'f'.repeat(64)}), cannot specify 64-byte hexadecimal strings`],
    [`q.io/${'x'.repeat(260)}`, 'repository name must not be more than 255 characters'],
  ])('%j is refused in the words of a kubelet', (image, why) => {
    const quoted = JSON.stringify(image);
    expect(() => parseImageReference(image)).toThrow(
      expect.objectContaining({
        code: 'InvalidImageName',
        message: `Failed to apply default image tag ${quoted}: couldn't parse image name ${quoted}: ${why}`,
      }),
    );
  });
});
