import { existsSync } from 'node:fs';
import { readdir, readFile, rename, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { VolumeContents } from '../../../src/contract/job-directory.ts';
import type { VolumeObjects } from '../../../src/contract/volume-update.ts';
import type { Volume } from '../../../src/kube/types.ts';
import type { Mount } from '../../../src/runner/container-runtime.ts';
import { JobBench } from '../../fakes/job-bench.ts';
import { isRunning } from '../../fakes/read-records.ts';

const POLL_MS = 3_000;
const none: VolumeObjects = { configMaps: [], secrets: [], projectedVolumes: [] };
const map = (data: Record<string, string>): VolumeObjects => ({
  ...none,
  configMaps: [{ metadata: { name: 'm' }, data }],
});

/** As a sidecar does: in one step. */
async function put(bench: JobBench, revision: number, volumes: VolumeContents['volumes']): Promise<void> {
  const { contents } = bench.directory;
  await writeFile(`${contents}.new`, JSON.stringify({ version: 1, revision, volumes } satisfies VolumeContents));
  await rename(`${contents}.new`, contents);
}

interface Live extends AsyncDisposable {
  readonly bench: JobBench;
  mount(target: string): Mount;
  /** What the container sees at a path. */
  see(path: string): Promise<string>;
  /** Lets a poll go by until `check` holds. */
  poll(check: () => Promise<boolean>): Promise<void>;
}

async function live(
  volumes: Volume[],
  objects: Partial<VolumeObjects>,
  mounts: { mountPath: string; name: string; subPath?: string }[],
  before: (bench: JobBench) => Promise<void> = async () => {},
  securityContext = {},
): Promise<Live> {
  let end = (): void => {};
  const bench = await JobBench.create({
    spec: { containers: [{ name: 'c', volumeMounts: mounts }], volumes, securityContext },
    bundle: objects,
    scripts: {
      c: ({ exit }) => {
        end = () => exit(0);
      },
    },
  });
  await before(bench);
  const done = bench.run();
  await bench.until(isRunning('c'));
  const mount = (target: string): Mount => {
    const found = bench.runtime.started[0]?.mounts.find((one) => one.target === target);
    if (!found) throw new Error(`no mount ${target}`);
    return found;
  };
  return {
    bench,
    mount,
    see: (path) => {
      const [, top = ''] = path.split('/');
      return readFile(join(mount(`/${top}`).source, path.slice(top.length + 1)), 'utf8');
    },
    async poll(check) {
      await expect
        .poll(
          async () => {
            await bench.clock.advance(POLL_MS);
            return check();
          },
          { timeout: 5_000 },
        )
        .toBe(true);
    },
    async [Symbol.asyncDispose]() {
      end();
      await done;
      await bench[Symbol.asyncDispose]();
    },
  };
}

const cm: Volume = { name: 'v', configMap: { name: 'm' } };

describe('volumes of a running pod', () => {
  it('show new content and new keys, lose removed ones, and a subPath keeps what it had (golden 086)', async () => {
    await using pod = await live([cm], map({ k: 'old', gone: 'x' }), [
      { name: 'v', mountPath: '/v' },
      { name: 'v', mountPath: '/f', subPath: 'k' },
    ]);
    expect([await pod.see('/v/k'), await pod.see('/f')]).toEqual(['old', 'old']);
    await put(pod.bench, 1, { v: map({ k: 'new', new: 'key' }) });
    await pod.poll(async () => (await pod.see('/v/k')) === 'new');
    expect([await pod.see('/v/new'), await pod.see('/f')]).toEqual(['key', 'old']);
    const names = await readdir(pod.mount('/v').source);
    expect(names.filter((name) => !name.startsWith('..')).sort()).toEqual(['k', 'new']);
    await put(pod.bench, 2, { v: map({ k: 'newer' }) });
    await pod.poll(async () => (await pod.see('/v/k')) === 'newer');
    // What the subPath is mounted from, and what the volume shows; the one between is gone.
    expect((await readdir(pod.mount('/v').source)).filter((name) => /^\.\.\d/.test(name))).toHaveLength(2);
    expect(await pod.see('/f')).toBe('old');
  });

  it('keep modes, group bits, and their place in memory', async () => {
    const secret: Volume = { name: 's', secret: { secretName: 'x', defaultMode: 0o400 } };
    const sealed = (k: string): VolumeObjects => ({ ...none, secrets: [{ metadata: { name: 'x' }, data: { k } }] });
    const fsGroup = process.getgid?.() ?? 0;
    const mounts = [{ name: 's', mountPath: '/s' }];
    await using pod = await live([secret], sealed('b2xk'), mounts, undefined, { fsGroup });
    await put(pod.bench, 1, { s: sealed('bmV3') });
    await pod.poll(async () => (await pod.see('/s/k')) === 'new');
    const { source, readOnly } = pod.mount('/s');
    expect(source).toMatch(/^\/dev\/shm\/interlink-/);
    expect(readOnly).toBe(true);
    expect((await stat(join(source, 'k'))).mode & 0o777).toBe(0o440);
    expect((await stat(source)).mode & 0o7777).toBe(0o2777);
  });

  it('change only where the content differs', async () => {
    const other: Volume = { name: 'w', configMap: { name: 'm' } };
    const mounts = [
      { name: 'v', mountPath: '/v' },
      { name: 'w', mountPath: '/w' },
    ];
    await using pod = await live([cm, other], map({ k: 'old' }), mounts);
    const before = await stat(join(pod.mount('/w').source, '..data/'));
    await put(pod.bench, 1, { v: map({ k: 'new' }), w: map({ k: 'old' }) });
    await pod.poll(async () => (await pod.see('/v/k')) === 'new');
    expect((await stat(join(pod.mount('/w').source, '..data/'))).ino).toBe(before.ino);
  });

  it('an optional object may come and go', async () => {
    const optional: Volume = { name: 'v', configMap: { name: 'm', optional: true } };
    await using pod = await live([optional], {}, [{ name: 'v', mountPath: '/v' }]);
    await put(pod.bench, 1, { v: map({ k: 'here' }) });
    await pod.poll(async () => (await pod.see('/v/k')) === 'here');
    await put(pod.bench, 2, { v: none });
    await pod.poll(async () => !existsSync(join(pod.mount('/v').source, 'k')));
  });

  it('start with what had changed before the job began', async () => {
    const mounts = [{ name: 'v', mountPath: '/v' }];
    const before = (bench: JobBench): Promise<void> => put(bench, 3, { v: map({ k: 'new' }) });
    await using pod = await live([cm], map({ k: 'old' }), mounts, before);
    expect(await pod.see('/v/k')).toBe('new');
    await put(pod.bench, 4, { v: map({ k: 'newer' }) });
    await pod.poll(async () => (await pod.see('/v/k')) === 'newer');
  });

  it('keep the old content when the new one cannot be had, and take the next (fault: torn file, missing object)', async () => {
    await using pod = await live([cm], map({ k: 'old' }), [{ name: 'v', mountPath: '/v' }]);
    await writeFile(pod.bench.directory.contents, '{"version":1,');
    const log = (): Promise<string> => readFile(pod.bench.directory.runnerLog, 'utf8');
    await pod.poll(async () => (await log()).includes('contents of volumes cannot be read'));
    await put(pod.bench, 1, { v: none });
    await pod.poll(async () => (await log()).includes('new content of a volume cannot be written'));
    expect(await pod.see('/v/k')).toBe('old');
    await put(pod.bench, 2, { v: map({ k: 'new' }) });
    await pod.poll(async () => (await pod.see('/v/k')) === 'new');
  });

  it('are not looked after in a pod that has none', async () => {
    await using pod = await live([{ name: 'e', emptyDir: {} }], {}, []);
    await pod.bench.settle();
    expect(pod.bench.clock.sleeping).toBe(0);
  });
});
