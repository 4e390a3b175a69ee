import { existsSync } from 'node:fs';
import { chmod, mkdir, mkdtemp, readdir, readFile, readlink, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { systemClock } from '../../../src/base/clock.ts';
import { silentLogger } from '../../../src/base/logger.ts';
import { type JobSpec, jobDirectory } from '../../../src/contract/job-directory.ts';
import type { PodBundle } from '../../../src/contract/pod-bundle.ts';
import type { Container, PodSpec, Volume } from '../../../src/kube/types.ts';
import { containerMounts } from '../../../src/runner/container-mounts.ts';
import { JobContents } from '../../../src/runner/job-contents.ts';
import { makeMemoryDirectory } from '../../../src/runner/memory-directory.ts';
import { makePodVolumes, type PodVolume, type PodVolumes } from '../../../src/runner/pod-volumes.ts';
import { writeVolume } from '../../../src/runner/write-volume.ts';

interface Made extends AsyncDisposable {
  readonly root: string;
  readonly volumes: PodVolumes;
  path(volume: string): string;
}

let count = 0;

async function make(
  volumes: readonly Volume[],
  bundle: Partial<PodBundle> = {},
  spec: Partial<PodSpec> = {},
  job: Partial<JobSpec> = {},
): Promise<Made> {
  const root = await mkdtemp(join(tmpdir(), 'interlink-volumes-'));
  count += 1;
  const pod = {
    metadata: { namespace: 'default', name: 'p', uid: `volumes-${process.pid}-${count}` },
    spec: { containers: [{ name: 'c', image: 'i' }], volumes: [...volumes], ...spec },
  };
  const whole: JobSpec = {
    version: 1,
    runtime: { name: 'process' },
    bundle: { pod, configMaps: [], secrets: [], projectedVolumes: [], ...bundle },
    ...job,
  };
  try {
    const directory = jobDirectory(root);
    const contents = new JobContents({ directory, clock: systemClock, logger: silentLogger });
    const made = await makePodVolumes(directory, whole, { logger: silentLogger, nowMs: systemClock.nowMs, contents });
    return {
      root,
      volumes: made,
      path: (volume) => made.byName.get(volume)?.path ?? '',
      async [Symbol.asyncDispose]() {
        await made.remove();
        await rm(root, { recursive: true });
      },
    };
  } catch (error) {
    await rm(root, { recursive: true });
    throw error;
  }
}

const modeOf = async (path: string): Promise<number> => (await stat(path)).mode & 0o7777;
const map = { metadata: { name: 'm' }, data: { a: 'alpha\n', b: 'beta' }, binaryData: { bin: 'AAECAwQFBgc=' } };

describe('volumes from a bundle', () => {
  it('have all keys with mode 0644 and links through ..data (golden 080)', async () => {
    await using made = await make([{ name: 'v', configMap: { name: 'm' } }], { configMaps: [map] });
    const v = made.path('v');
    expect((await readdir(v)).filter((name) => !name.startsWith('..')).sort()).toEqual(['a', 'b', 'bin']);
    expect(await readlink(join(v, 'a'))).toBe('..data/a');
    expect(await readlink(join(v, '..data'))).toMatch(/^\.\.\d{4}_\d\d_\d\d_\d\d_\d\d_\d\d\./);
    expect(await readFile(join(v, 'a'), 'utf8')).toBe('alpha\n');
    expect([...(await readFile(join(v, 'bin')))]).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
    expect(await modeOf(join(v, 'a'))).toBe(0o644);
    expect(made.volumes.byName.get('v')?.alwaysReadOnly).toBe(true);
  });

  it('have chosen keys, paths and modes (golden 081)', async () => {
    const items = [
      { key: 'a', path: 'deep/er/a.conf' },
      { key: 'b', path: 'b', mode: 0o700 },
    ];
    await using made = await make([{ name: 'v', configMap: { name: 'm', items, defaultMode: 0o440 } }], {
      configMaps: [map],
    });
    const v = made.path('v');
    expect(await readFile(join(v, 'deep/er/a.conf'), 'utf8')).toBe('alpha\n');
    expect(await modeOf(join(v, 'deep/er/a.conf'))).toBe(0o440);
    expect(await modeOf(join(v, 'deep/er'))).toBe(0o755);
    expect(await modeOf(join(v, 'b'))).toBe(0o700);
    expect(await readdir(v)).not.toContain('bin');
  });

  it('decode Secrets, which are in memory and closed to others', async () => {
    await using made = await make([{ name: 's', secret: { secretName: 'x', defaultMode: 0o400 } }], {
      secrets: [{ metadata: { name: 'x' }, data: { k: Buffer.from([0, 255, 10]).toString('base64') } }],
    });
    expect([...(await readFile(join(made.path('s'), 'k')))]).toEqual([0, 255, 10]);
    expect(await modeOf(join(made.path('s'), 'k'))).toBe(0o400);
    expect(made.path('s')).toMatch(/^\/dev\/shm\/interlink-/);
    expect(await modeOf(join(made.path('s'), '..'))).toBe(0o700);
  });

  it('give group bits under an fsGroup: 0400 becomes 0440, an emptyDir 2777 (golden 096)', async () => {
    await using made = await make(
      [
        { name: 's', secret: { secretName: 'x', defaultMode: 0o400 } },
        { name: 'e', emptyDir: {} },
      ],
      { secrets: [{ metadata: { name: 'x' }, data: { k: 'dg==' } }] },
      { securityContext: { fsGroup: process.getgid?.() ?? 0 } },
    );
    expect(await modeOf(join(made.path('s'), 'k'))).toBe(0o440);
    expect(await modeOf(made.path('e'))).toBe(0o2777);
  });

  it('take projected and downwardAPI files by path, with the modes of the pod', async () => {
    const projected = {
      defaultMode: 0o640,
      sources: [
        { serviceAccountToken: { path: 'token', expirationSeconds: 3600 } },
        { configMap: { name: 'm', items: [{ key: 'a', path: 'x/a', mode: 0o600 }] } },
      ],
    };
    const downwardAPI = { items: [{ path: 'sub/name', fieldRef: { fieldPath: 'metadata.name' }, mode: 0o400 }] };
    await using made = await make(
      [
        { name: 'p', projected },
        { name: 'd', downwardAPI },
      ],
      {
        projectedVolumes: [
          { metadata: { name: 'p' }, data: { token: 't', 'x/a': 'A' }, binaryData: { raw: '/w==' } },
          { metadata: { name: 'd' }, data: { 'sub/name': 'p' } },
        ],
      },
    );
    expect(await readFile(join(made.path('p'), 'x/a'), 'utf8')).toBe('A');
    expect(await modeOf(join(made.path('p'), 'x/a'))).toBe(0o600);
    expect(await modeOf(join(made.path('p'), 'token'))).toBe(0o640);
    expect([...(await readFile(join(made.path('p'), 'raw')))]).toEqual([255]);
    expect(await modeOf(join(made.path('d'), 'sub/name'))).toBe(0o400);
  });

  it('keep a token from others when the pod has one user', async () => {
    const projected = { sources: [{ serviceAccountToken: { path: 'token' } }] };
    await using made = await make(
      [{ name: 'p', projected }],
      { projectedVolumes: [{ metadata: { name: 'p' }, data: { token: 't' } }] },
      { securityContext: { runAsUser: 1000 } },
    );
    expect(await modeOf(join(made.path('p'), 'token'))).toBe(0o600);
  });

  it('are empty when what they name is optional and missing', async () => {
    await using made = await make([
      { name: 'v', configMap: { name: 'none', optional: true } },
      { name: 's', secret: { secretName: 'none', optional: true } },
    ]);
    expect((await readdir(made.path('v'))).filter((name) => !name.startsWith('..'))).toEqual([]);
  });

  it.each<[string, Volume, string]>([
    ['a ConfigMap', { name: 'v', configMap: { name: 'none' } }, 'ConfigMap none of volume v'],
    ['a key', { name: 'v', configMap: { name: 'm', items: [{ key: 'nope', path: 'x' }] } }, 'has no key nope'],
    ['a path inside', { name: 'v', configMap: { name: 'm', items: [{ key: 'a', path: '../x' }] } }, 'without ".."'],
    ['a relative path', { name: 'v', configMap: { name: 'm', items: [{ key: 'a', path: '/x' }] } }, 'relative path'],
    ['a kind that can be had', { name: 'v', hostPath: { path: '/' } }, 'kind hostPath'],
    ['a name that stays inside', { name: '../v', emptyDir: {} }, 'without ".."'],
  ])('are refused without %s, and nothing is left', async (_title, volume, message) => {
    await expect(make([volume], { configMaps: [map] })).rejects.toThrow(message);
    const left = (await readdir('/dev/shm')).filter((name) => name.startsWith(`interlink-volumes-${process.pid}-`));
    expect(left).toEqual([]);
  });

  it('put emptyDirs into the scratch space, 0777', async () => {
    const scratch = await mkdtemp(join(tmpdir(), 'interlink-scratch-'));
    {
      await using made = await make(
        [{ name: 'e', emptyDir: {} }],
        {},
        {},
        { scratch: ['$NONE/x', '/no/such', scratch] },
      );
      expect(made.path('e')).toMatch(new RegExp(`^${scratch}/interlink-`));
      expect(await modeOf(made.path('e'))).toBe(0o777);
    }
    expect(await readdir(scratch)).toEqual([]);
    await rm(scratch, { recursive: true });
  });

  it.each<[string, string | undefined, string | undefined, object]>([
    ['of the memory of the pod', undefined, '2Mi', { sizeBytes: 2_097_152 }],
    ['of the memory of the pod where the limit is larger', '3Mi', '2Mi', { sizeBytes: 2_097_152 }],
    ['of the limit where that is smaller', '1Mi', '2Mi', { sizeBytes: 1_048_576 }],
    ['without a size where there is no limit at all', undefined, undefined, {}],
    ['without a size where the limit is 0', '0', undefined, {}],
  ])('ask for a tmpfs %s', async (_title, sizeLimit, memory, expected) => {
    const container = { name: 'c', image: 'i', ...(memory && { resources: { limits: { memory } } }) };
    const emptyDir = { medium: 'Memory', ...(sizeLimit && { sizeLimit }) };
    await using made = await make([{ name: 'e', emptyDir }], {}, { containers: [container] });
    expect(made.volumes.byName.get('e')?.tmpfs).toEqual(expected);
  });

  it('ask for a tmpfs of the limit for an emptyDir in memory (golden 093)', async () => {
    await using made = await make([{ name: 'e', emptyDir: { medium: 'Memory', sizeLimit: '1Mi' } }]);
    expect(made.volumes.byName.get('e')?.tmpfs).toEqual({ sizeBytes: 1048576 });
  });
});

describe('a volume that is written again', () => {
  it('changes in one step: a reader never sees a missing or mixed file', async () => {
    const root = await mkdtemp(join(tmpdir(), 'interlink-volume-'));
    const files = (text: string) =>
      ['a', 'b'].map((path) => ({ path, content: Buffer.from(text.repeat(1000)), mode: 0o644 }));
    await writeVolume(root, files('0'), { canChown: false }, 0);
    let stop = false;
    const reader = (async () => {
      let reads = 0;
      for (; !stop; reads += 1) expect(new Set(await readFile(join(root, 'a'), 'utf8')).size).toBe(1);
      return reads;
    })();
    for (let version = 1; version < 30; version += 1)
      await writeVolume(root, files(String(version % 10)), { canChown: false }, version);
    stop = true;
    expect(await reader).toBeGreaterThan(5);
    await writeVolume(root, files('x').slice(0, 1), { canChown: false }, 99);
    expect((await readdir(root)).filter((name) => !name.startsWith('..'))).toEqual(['a']);
    expect((await readdir(root)).filter((name) => /^\.\.[0-9]/.test(name))).toHaveLength(1);
    await rm(root, { recursive: true });
  });
});

describe('mounts', () => {
  const mountsOf = async (
    root: string,
    volumeMounts: NonNullable<Container['volumeMounts']>,
    volume: Partial<PodVolume> = {},
  ) => {
    const path = join(root, 'v');
    await mkdir(path, { recursive: true });
    await chmod(path, 0o777);
    const volumes = new Map([['v', { name: 'v', path, alwaysReadOnly: false, ...volume }]]);
    return await containerMounts({ name: 'c', volumeMounts }, volumes, new Map([['POD', 'p-0']]));
  };
  const withRoot = async (run: (root: string) => Promise<void>): Promise<void> => {
    const root = await mkdtemp(join(tmpdir(), 'interlink-mounts-'));
    await run(root).finally(() => rm(root, { recursive: true }));
  };

  it('make a missing subPath, 0777, and expand subPathExpr (golden 095)', async () => {
    await withRoot(async (root) => {
      const [one, two] = await mountsOf(root, [
        { name: 'v', mountPath: '/a', subPath: 'new/dir' },
        { name: 'v', mountPath: '/b', subPathExpr: 'x/$(POD)', readOnly: true },
      ]);
      expect(one).toEqual({ source: join(root, 'v/new/dir'), target: '/a', readOnly: false, exact: true });
      expect(await modeOf(join(root, 'v/new/dir'))).toBe(0o777);
      expect(await modeOf(join(root, 'v/new'))).toBe(0o777);
      expect(two).toEqual({ source: join(root, 'v/x/p-0'), target: '/b', readOnly: true, exact: true });
    });
  });

  it('are read-only for volumes out of the bundle, also a single file of one', async () => {
    await withRoot(async (root) => {
      const content = [{ path: 'k', content: Buffer.from('v'), mode: 0o644 }];
      await writeVolume(join(root, 'v'), content, { canChown: false }, 0);
      const [mount] = await mountsOf(root, [{ name: 'v', mountPath: '/f', subPath: 'k' }], { alwaysReadOnly: true });
      expect(mount?.readOnly).toBe(true);
      expect(await readFile(mount?.source ?? '', 'utf8')).toBe('v');
    });
  });

  it.each<[string, Partial<PodVolume>, object]>([
    ['keep the owners of a place of the site', { isSite: true }, { readOnly: false, exact: true, keepOwner: true }],
    [
      'seal one that is read-only there',
      { isSite: true, alwaysReadOnly: true },
      { readOnly: true, exact: true, keepOwner: true, sealed: true },
    ],
    [
      'let through what is mounted on demand',
      { isSite: true, alwaysReadOnly: true, onDemand: true },
      { readOnly: true, exact: true, keepOwner: true },
    ],
  ])('%s', async (_title, volume, expected) => {
    await withRoot(async (root) => {
      const [mount] = await mountsOf(root, [{ name: 'v', mountPath: '/v' }], volume);
      expect(mount).toEqual({ source: join(root, 'v'), target: '/v', ...expected });
    });
  });

  it('pass on the wish for recursive read-only', async () => {
    await withRoot(async (root) => {
      const mount = { name: 'v', mountPath: '/v', readOnly: true, recursiveReadOnly: 'Enabled' };
      expect((await mountsOf(root, [mount]))[0]).toMatchObject({ readOnly: true, recursiveReadOnly: true });
    });
  });

  it('refuse a place of the site that has become a symbolic link', async () => {
    await withRoot(async (root) => {
      await mkdir(join(root, 'elsewhere'));
      await symlink('elsewhere', join(root, 'link'));
      const volume = { isSite: true, path: join(root, 'link') };
      await expect(mountsOf(root, [{ name: 'v', mountPath: '/v' }], volume)).rejects.toThrow(
        'has been replaced by a symbolic link',
      );
    });
  });

  it.each<[string, NonNullable<Container['volumeMounts']>[number], string]>([
    ['a volume that is not there', { name: 'none', mountPath: '/a' }, 'cannot find volume "none"'],
    ['..', { name: 'v', mountPath: '/a', subPath: 'x/../../y' }, 'without ".."'],
    ['an absolute subPath', { name: 'v', mountPath: '/a', subPath: '/etc' }, 'relative'],
    ['a link that leads out', { name: 'v', mountPath: '/a', subPath: 'link/passwd' }, 'leads out of the volume'],
    ['an unknown variable', { name: 'v', mountPath: '/a', subPathExpr: '$(NOPE)' }, 'missing value for "NOPE"'],
    ['.. out of a variable', { name: 'v', mountPath: '/a', subPathExpr: '$(POD)/../..' }, 'without ".."'],
    ['a relative mountPath', { name: 'v', mountPath: 'a' }, 'must be absolute'],
  ])('are refused with %s', async (_title, mount, message) => {
    await withRoot(async (root) => {
      await mkdir(join(root, 'v'));
      await symlink('/etc', join(root, 'v/link'));
      await expect(mountsOf(root, [mount])).rejects.toMatchObject({
        code: 'CreateContainerConfigError',
        message: expect.stringContaining(message),
      });
    });
  });
});

describe('the directory in memory', () => {
  const options = { needBytes: 10, logger: silentLogger, parent: '/dev/shm' };
  const uid = `memory-${process.pid}`;

  it('is removed by a later runner when its owner was killed (fault: left-over of a dead process)', async () => {
    const path = `/dev/shm/interlink-${uid}-dead`;
    await mkdir(path, { recursive: true });
    await writeFile(join(path, '.owner'), `${await readlink('/proc/self/ns/pid')} 999999999 1`);
    const made = await makeMemoryDirectory({ ...options, podUid: `${uid}-new` });
    expect(existsSync(path)).toBe(false);
    await rm(made ?? '', { recursive: true });
  });

  it('stays while its owner lives, or when nobody can tell', async () => {
    const first = (await makeMemoryDirectory({ ...options, podUid: `${uid}-a` })) ?? '';
    const foreign = `/dev/shm/interlink-${uid}-other`;
    await mkdir(foreign);
    await writeFile(join(foreign, '.owner'), 'pid:[1] 999999999 1');
    const second = (await makeMemoryDirectory({ ...options, podUid: `${uid}-b` })) ?? '';
    expect([existsSync(first), existsSync(foreign)]).toEqual([true, true]);
    for (const path of [first, foreign, second]) await rm(path, { recursive: true });
  });

  it('is done without where there is no room or no tmpfs (fault: full, ordinary disk)', async () => {
    expect(await makeMemoryDirectory({ ...options, podUid: uid, needBytes: 2 ** 50 })).toBeUndefined();
    expect(await makeMemoryDirectory({ ...options, podUid: uid, parent: tmpdir() })).toBeUndefined();
    expect(await makeMemoryDirectory({ ...options, podUid: uid, parent: '/no/such' })).toBeUndefined();
  });
});
