import { describe, expect, it } from 'vitest';
import { volumeDigest } from '../../../src/contract/volume-digest.ts';
import type { VolumeObjects } from '../../../src/contract/volume-update.ts';
import type { Volume } from '../../../src/kube/types.ts';

const nothing: VolumeObjects = { configMaps: [], secrets: [], projectedVolumes: [] };
const map = (data: Record<string, string>, more: object = {}): VolumeObjects => ({
  ...nothing,
  configMaps: [{ metadata: { name: 'm', ...more }, data }],
});
const all: Volume = { name: 'v', configMap: { name: 'm' } };
const some: Volume = { name: 'v', configMap: { name: 'm', items: [{ key: 'a', path: 'x' }] } };
const secret: Volume = { name: 'v', secret: { secretName: 's' } };
const projected: Volume = { name: 'v', projected: { sources: [] } };

describe('two contents of a volume', () => {
  it.each<[string, Volume, VolumeObjects, VolumeObjects]>([
    ['other versions', all, map({ a: '1' }, { resourceVersion: '1' }), map({ a: '1' }, { resourceVersion: '2' })],
    ['keys in another order', all, map({ a: '1', b: '2' }), map({ b: '2', a: '1' })],
    ['keys that it does not show', some, map({ a: '1', b: '2' }), map({ a: '1', c: '3' })],
    ['objects of other volumes', all, map({ a: '1' }), { ...map({ a: '1' }), secrets: [{ metadata: { name: 's' } }] }],
    ['an optional object that is empty or not there', all, map({}), nothing],
    [
      'text or the same bytes',
      projected,
      { ...nothing, projectedVolumes: [{ metadata: { name: 'v' }, data: { f: 'é' } }] },
      { ...nothing, projectedVolumes: [{ metadata: { name: 'v' }, binaryData: { f: 'w6k=' } }] },
    ],
  ])('are the same with %s', (_title, volume, one, other) => {
    expect(volumeDigest(volume, one)).toBe(volumeDigest(volume, other));
  });

  it.each<[string, Volume, VolumeObjects, VolumeObjects]>([
    ['a changed value', all, map({ a: '1' }), map({ a: '2' })],
    ['a new key', all, map({ a: '1' }), map({ a: '1', b: '' })],
    ['another border between two keys', all, map({ a: 'b1' }), map({ ab: '1' })],
    [
      'bytes that are no text',
      secret,
      { ...nothing, secrets: [{ metadata: { name: 's' }, data: { k: '/w==' } }] },
      { ...nothing, secrets: [{ metadata: { name: 's' }, data: { k: '/g==' } }] },
    ],
    [
      'a new token',
      projected,
      { ...nothing, projectedVolumes: [{ metadata: { name: 'v' }, data: { token: 'a' } }] },
      { ...nothing, projectedVolumes: [{ metadata: { name: 'v' }, data: { token: 'b' } }] },
    ],
  ])('differ with %s', (_title, volume, one, other) => {
    expect(volumeDigest(volume, one)).not.toBe(volumeDigest(volume, other));
  });
});
