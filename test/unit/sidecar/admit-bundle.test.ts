import { expect, test } from 'vitest';
import type { PodBundle } from '../../../src/contract/pod-bundle.ts';
import { admitBundle } from '../../../src/sidecar/batch/admit-bundle.ts';
import { sitePolicy } from '../../fakes/site-policy.ts';

const policy = sitePolicy();
const bundle = (spec: object, objects: Partial<PodBundle> = {}): PodBundle =>
  ({
    pod: {
      metadata: { name: 'p', namespace: 'n', uid: 'u' },
      spec: { containers: [{ name: 'c', image: 'i' }], ...spec },
    },
    configMaps: [],
    secrets: [],
    projectedVolumes: [],
    ...objects,
  }) as PodBundle;
const volume = (source: object) => ({ volumes: [{ name: 'v', ...source }] });
const container = (change: object) => ({ containers: [{ name: 'c', image: 'i', ...change }] });

test.each([
  [
    'a hostPath',
    volume({ hostPath: { path: '/' } }),
    /volume "v" is the hostPath "\/", which this site does not open to pods/,
  ],
  ['a claim', volume({ persistentVolumeClaim: { claimName: 'x' } }), /persistentVolumeClaim/],
  ['a volume without a source', volume({}), /volume "v" has no source/],
  [
    'a mount without a volume',
    container({ volumeMounts: [{ name: 'gone', mountPath: '/m' }] }),
    /no volume named "gone"/,
  ],
  [
    'two containers of one name',
    {
      containers: [
        { name: 'c', image: 'i' },
        { name: 'c', image: 'i' },
      ],
    },
    /duplicate container name "c"/,
  ],
  [
    'a path that leads out',
    container({ volumeMounts: [{ name: 'v', mountPath: '/a/../..' }] }),
    /must be an absolute path without/,
  ],
  [
    'a sub-path that leads out',
    { ...volume({ emptyDir: {} }), ...container({ volumeMounts: [{ name: 'v', mountPath: '/m', subPath: '../x' }] }) },
    /subPath/,
  ],
  [
    'an item that leads out',
    volume({ configMap: { name: 'x', items: [{ key: 'k', path: '../../etc/passwd' }] } }),
    /relative path/,
  ],
  ['a container name with a path', container({ name: '../x' }), /is no container name/],
  ['a negative quantity', container({ resources: { limits: { cpu: '-1' } } }), /must not be negative/],
  ['an absurd quantity', container({ resources: { limits: { memory: '1e40' } } }), /out of any range/],
  ['a text for a quantity', container({ resources: { limits: { cpu: 'many' } } }), /not a quantity/],
  [
    'a ConfigMap that was not sent',
    volume({ configMap: { name: 'x' } }),
    /ConfigMap "x" of volume "v" was not sent along/,
  ],
  [
    'a Secret that was not sent',
    volume({ secret: { secretName: 'x' } }),
    /Secret "x" of volume "v" was not sent along/,
  ],
  ['projected content that was not sent', volume({ projected: { sources: [] } }), /of volume "v" was not sent along/],
])('a pod with %s is refused by name', (_what, spec, words) => {
  expect(() => admitBundle(bundle(spec), policy)).toThrow(
    expect.objectContaining({ kind: 'Invalid', message: expect.stringMatching(words) }),
  );
});

test('every fault is told at once', () => {
  const spec = { ...volume({ hostPath: { path: '/' } }), ...container({ name: 'C' }) };
  expect(() => admitBundle(bundle(spec), policy)).toThrow(/container name.*hostPath/s);
});

test('a ConfigMap above the limit is refused with its size', () => {
  const big = { metadata: { name: 'x', namespace: 'n' }, data: { k: 'x'.repeat(2 * 1024 * 1024) } };
  expect(() => admitBundle(bundle(volume({ configMap: { name: 'x' } }), { configMaps: [big] }), policy)).toThrow(
    /2097152 bytes/,
  );
});

test('a path of projected content that leads out is refused', () => {
  const projectedVolumes = [{ metadata: { name: 'v' }, data: { '../x': '' } }];
  expect(() => admitBundle(bundle(volume({ projected: { sources: [] } }), { projectedVolumes }), policy)).toThrow(
    /"\.\.\/x"/,
  );
});

test('places of the site are told with their fields, and powers that are not given', () => {
  const places = sitePolicy({ volumes: { hostPaths: [{ path: '/data' }] } });
  const spec = {
    volumes: [
      { name: 'v', hostPath: { path: '/data/x', type: 'Directory' } },
      { name: 'e', emptyDir: {} },
    ],
  };
  expect(admitBundle(bundle(spec), places)).toEqual({
    v: { path: '/data/x', within: '/data', readOnly: false, type: 'Directory', create: false },
  });
  expect(() => admitBundle(bundle({ ...spec, hostPID: true }), policy)).toThrow(/spec\.volumes\[0\].*spec\.hostPID/s);
});

test('optional content may be missing', () => {
  const volumes = [
    { name: 'a', configMap: { name: 'x', optional: true } },
    { name: 'b', secret: { secretName: 'y', optional: true } },
    { name: 'e', emptyDir: {} },
  ];
  expect(() => admitBundle(bundle({ volumes }), policy)).not.toThrow();
});
