import { describe, expect, it } from 'vitest';
import type { Pod, Volume } from '../../../src/kube/types.ts';
import { siteVolumes } from '../../../src/sidecar/batch/site-volumes.ts';
import { volumesConfig } from '../../../src/sidecar/site-config.ts';

const config = volumesConfig.parse({
  hostPaths: [
    { path: '/data/', rewrite: '/gpfs/data' },
    { path: '/data/ref', readOnly: true, create: true },
    { path: '/scratch', create: true },
  ],
  claims: {
    'ns/home': { path: '/home/pods' },
    home: { path: '/home/others', readOnly: true },
    work: { path: '/work', subPathPerPod: true },
  },
  cvmfs: { repositories: ['sft.cern.ch', 'atlas.cern.ch'] },
});

function found(source: Omit<Volume, 'name'>, { namespace = 'ns', settings = config } = {}) {
  const pod: Pod = {
    metadata: { name: 'p', namespace },
    spec: { containers: [], volumes: [{ name: 'v', ...source }] },
  };
  const { places, faults } = siteVolumes(pod, settings);
  return places.v ?? faults[0];
}

describe('the place of a volume', () => {
  const host = (path: string, type?: string): Omit<Volume, 'name'> => ({
    hostPath: { path, ...(type === undefined ? {} : { type }) },
  });
  const claim = (claimName: string, readOnly?: boolean): Omit<Volume, 'name'> => ({
    persistentVolumeClaim: { claimName, ...(readOnly === undefined ? {} : { readOnly }) },
  });
  const csi = (volumeAttributes?: Record<string, string>, driver = 'cvmfs.csi.cern.ch'): Omit<Volume, 'name'> => ({
    csi: { driver, ...(volumeAttributes && { volumeAttributes }) },
  });
  const cvmfs = { readOnly: true, onDemand: true };
  const place = (path: string, within: string, more: object = {}) => ({
    path,
    within,
    readOnly: false,
    type: 'Directory',
    create: false,
    ...more,
  });

  it.each<[string, Omit<Volume, 'name'>, object]>([
    ['below an open path', host('/scratch/x', 'DirectoryOrCreate'), place('/scratch/x', '/scratch', { type: 'DirectoryOrCreate', create: true })], // biome-ignore format: a table
    [
      'an open path itself, without a type',
      host('/scratch'),
      place('/scratch', '/scratch', { type: '', create: true }),
    ],
    [
      'elsewhere on the workers',
      host('/data//a/./b/', 'File'),
      place('/gpfs/data/a/b', '/gpfs/data', { type: 'File' }),
    ],
    [
      'by the longest rule that fits',
      host('/data/ref/x', 'Directory'),
      place('/data/ref/x', '/data/ref', { readOnly: true }),
    ],
    ["a claim of the pod's namespace", claim('home'), place('/home/pods', '/home/pods')],
    ['a claim that the pod reads only', claim('home', true), place('/home/pods', '/home/pods', { readOnly: true })],
    [
      'a claim with a directory per pod',
      claim('work'),
      place('/work/ns/p', '/work', { type: 'DirectoryOrCreate', create: true }),
    ],
    [
      'a repository of CernVM-FS',
      host('/cvmfs/sft.cern.ch/lcg', 'Directory'),
      place('/cvmfs/sft.cern.ch/lcg', '/cvmfs', cvmfs),
    ],
    ['a repository by csi', csi({ repository: 'atlas.cern.ch' }), place('/cvmfs/atlas.cern.ch', '/cvmfs', cvmfs)],
    ['its newest revision by csi', csi({ repository: 'atlas.cern.ch', tag: 'trunk' }), place('/cvmfs/atlas.cern.ch', '/cvmfs', cvmfs)], // biome-ignore format: a table
  ])('is %s', (_title, source, expected) => {
    expect(found(source)).toEqual(expected);
  });

  it('is the claim without a namespace for every other namespace', () => {
    expect(found(claim('home'), { namespace: 'other' })).toEqual(
      place('/home/others', '/home/others', { readOnly: true }),
    );
  });

  it('is elsewhere where CernVM-FS is elsewhere, and whole where all repositories may be had', () => {
    const settings = volumesConfig.parse({ cvmfs: { root: '/opt/cvmfs/' } });
    expect(found(host('/cvmfs/x.org', 'Directory'), { settings })).toMatchObject({
      path: '/opt/cvmfs/x.org',
      within: '/opt/cvmfs',
    });
    expect(found(csi(), { settings })).toMatchObject({ path: '/opt/cvmfs', within: '/opt/cvmfs' });
  });

  it('is everything below / where the site opens that', () => {
    const settings = volumesConfig.parse({ hostPaths: [{ path: '/', readOnly: true }] });
    expect(found(host('/etc/hosts', 'File'), { settings })).toMatchObject({ path: '/etc/hosts', within: '/' });
    expect(found(host('/'), { settings })).toMatchObject({ path: '/', within: '/' });
  });

  it.each<[string, Omit<Volume, 'name'>, RegExp]>([
    [
      'a path beside an open one',
      host('/data2'),
      /hostPath "\/data2", which this site does not open to pods; its administrator can add it to sidecar\.volumes\.hostPaths \(open: \/data, \/data\/ref, \/scratch, \/cvmfs\)/,
    ],
    ['a path that leads out', host('/data/../etc'), /absolute path without "\.\."/],
    ['a relative path', host('data'), /absolute path/],
    ['an unknown type', host('/data', 'Dir'), /of the type "Dir"; use one of Directory, /],
    [
      'a type that makes something where nothing may be made',
      host('/data/x', 'DirectoryOrCreate'),
      /nothing may be made below \/data; use Directory, or let the administrator set create/,
    ],
    [
      'a type that makes something in a read-only place',
      host('/data/ref/x', 'FileOrCreate'),
      /nothing may be made below \/data\/ref; use File/,
    ],
    [
      'a claim that is not mapped',
      claim('gone'),
      /persistentVolumeClaim "gone", which has no place at this site; its administrator can add "ns\/gone" to sidecar\.volumes\.claims/,
    ],
    [
      'another repository',
      host('/cvmfs/cms.cern.ch'),
      /only these repositories of CernVM-FS: sft\.cern\.ch, atlas\.cern\.ch/,
    ],
    ['all repositories at once', csi(), /only these repositories/],
    [
      'a type that makes something in CernVM-FS',
      host('/cvmfs/sft.cern.ch/x', 'DirectoryOrCreate'),
      /nothing can be made in \/cvmfs/,
    ],
    [
      'a secret for csi',
      { csi: { driver: 'cvmfs.csi.cern.ch', nodePublishSecretRef: { name: 's' } } },
      /nodePublishSecretRef, which this site cannot use/,
    ],
    ['a claim named as every object has something', claim('constructor'), /has no place/],
    [
      'another csi driver',
      csi({}, 'nfs.csi.k8s.io'),
      /csi volume of nfs\.csi\.k8s\.io, which this site does not have; it has cvmfs\.csi\.cern\.ch/,
    ],
    [
      'another revision',
      csi({ repository: 'sft.cern.ch', tag: 'v1' }),
      /the tag "v1", but workers show the newest revision only/,
    ],
    ['another attribute', csi({ repository: 'sft.cern.ch', clientConfig: 'x' }), /attribute "clientConfig"/],
    ['a repository that is a path', csi({ repository: '../etc' }), /no name of a repository/],
    ['huge pages', { emptyDir: { medium: 'HugePages-2Mi' } }, /emptyDir on the medium "HugePages-2Mi"/],
    ['nfs', { nfs: { server: 's', path: '/' } }, /is a nfs, which this site cannot give; use configMap, /],
    ['iscsi', { iscsi: { targetPortal: 't', iqn: 'i', lun: 0 } }, /is a iscsi/],
    ['a generic ephemeral volume', { ephemeral: {} }, /is a ephemeral/],
    ['an image', { image: { reference: 'x' } } as Omit<Volume, 'name'>, /is a image/],
    ['flexVolume', { flexVolume: { driver: 'd' } }, /is a flexVolume/],
    ['gitRepo', { gitRepo: { repository: 'r' } }, /is a gitRepo/],
    ['a kind of the future', { hologram: {} } as Omit<Volume, 'name'>, /is a hologram/],
  ])('is refused for %s, with its field and name', (_title, source, message) => {
    const fault = found(source);
    expect(fault).toMatch(/^spec\.volumes\[0\]: volume "v" /);
    expect(fault).toMatch(message);
  });

  it("is nobody's without configuration, CernVM-FS apart", () => {
    const settings = volumesConfig.parse({ cvmfs: { enabled: false } });
    expect(found(host('/cvmfs/sft.cern.ch'), { settings })).toMatch(/open: none/);
    expect(found(csi({ repository: 'sft.cern.ch' }), { settings })).toMatch(/which this site does not have$/);
  });

  it('is not looked for where the volume is made in the job', () => {
    for (const source of [
      { emptyDir: { medium: 'Memory' } },
      { configMap: { name: 'x' } },
      { projected: { sources: [] } },
    ])
      expect(found(source)).toBeUndefined();
  });
});

it.each<[string, object]>([
  ['a relative path', { hostPaths: [{ path: 'data' }] }],
  ['a path that leads out', { hostPaths: [{ path: '/data/../etc' }] }],
  ['an unknown key', { hostPaths: [{ path: '/data', readonly: true }] }],
  ['a claim that is no name', { claims: { 'a/b/c': { path: '/x' } } }],
  ['a claim without a path', { claims: { a: {} } }],
])('the configuration is refused with %s', (_title, value) => {
  expect(volumesConfig.safeParse(value).success).toBe(false);
});
