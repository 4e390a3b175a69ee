import { existsSync } from 'node:fs';
import { chmod, mkdir, mkdtemp, readdir, readlink, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { silentLogger } from '../../../src/base/logger.ts';
import { jobDirectory } from '../../../src/contract/job-directory.ts';
import type { Container, Pod, Volume } from '../../../src/kube/types.ts';
import { diskLimits, watchDiskLimits } from '../../../src/runner/disk-limits.ts';
import { diskUsage } from '../../../src/runner/disk-usage.ts';
import { makeScratchDirectory } from '../../../src/runner/scratch-directory.ts';
import { FakeClock } from '../../fakes/fake-clock.ts';
import { JobBench } from '../../fakes/job-bench.ts';
import { eventsOf, isRunning } from '../../fakes/read-records.ts';
import { RecordingLogger } from '../../fakes/recording-logger.ts';

const MEBIBYTE = 1024 * 1024;
const limited = (name: string, storage?: string): Container => ({
  name,
  ...(storage === undefined ? {} : { resources: { limits: { 'ephemeral-storage': storage } } }),
});

describe('the limits of a pod on disk', () => {
  const limitsOf = (volumes: readonly Volume[], containers: readonly Container[], init: readonly Container[] = []) => {
    const pod: Pod = { spec: { volumes: [...volumes], containers: [...containers], initContainers: [...init] } };
    const made = new Map(volumes.map(({ name }) => [name, { name, path: `/v/${name}`, alwaysReadOnly: false }]));
    return diskLimits(pod, made, jobDirectory('/job'));
  };
  const disk: Volume = { name: 'd', emptyDir: { sizeLimit: '1Mi' } };
  const open: Volume = { name: 'o', emptyDir: {} };
  const memory: Volume = { name: 'm', emptyDir: { medium: 'Memory', sizeLimit: '1Mi' } };

  it('are those of emptyDirs that have one and are not in memory', () => {
    expect(limitsOf([disk, open, memory, { name: 'z', emptyDir: { sizeLimit: '0' } }], [limited('c')])).toEqual([
      { paths: ['/v/d'], bytes: MEBIBYTE, message: 'Usage of EmptyDir volume "d" exceeds the limit "1Mi". ' },
    ]);
  });

  it.each<[string, Container[], Container[], string]>([
    ['of one container', [limited('a', '1Gi')], [], '1Gi'],
    ['of containers together', [limited('a', '512Mi'), limited('b', '512Mi'), limited('c')], [], '1Gi'],
    ['of the init container that may have most', [limited('a', '1Ki')], [limited('i', '3Ki')], '3Ki'],
    ['with sidecars', [limited('a', '1k')], [{ ...limited('s', '1k'), restartPolicy: 'Always' }], '2000'],
  ])('are those %s, for all emptyDirs on disk and the logs', (_title, containers, init, total) => {
    expect(limitsOf([open, memory], containers, init)).toEqual([
      {
        paths: ['/v/o', '/job/containers'],
        bytes: expect.any(Number),
        message: `Pod ephemeral local storage usage exceeds the total limit of containers ${total}. `,
      },
    ]);
  });

  it('are none where the pod names none', () => {
    expect(limitsOf([open, memory], [limited('c')])).toEqual([]);
  });
});

describe('the watch over the limits', () => {
  const limit = (...paths: string[]) => ({ paths, bytes: 10, message: paths.join() });
  const watch = (sizes: Record<string, number>, { logger = silentLogger, cost = 0 } = {}) => {
    const clock = new FakeClock(0);
    const over = new AbortController();
    const looks: (readonly string[])[] = [];
    const usage = async (paths: readonly string[]) => {
      looks.push(paths);
      if (cost > 0) await clock.sleep(cost);
      if (sizes.fault) throw new Error('du: not found');
      return paths.map((path) => sizes[path] ?? 0);
    };
    const done = watchDiskLimits([limit('a'), limit('a', 'b')], { usage, clock, logger, signal: over.signal });
    return { clock, over, looks, done };
  };

  it('tells the first limit that is passed, and asks for each directory once', async () => {
    const sizes: Record<string, number> = { a: 10, b: 0 };
    const { clock, looks, done } = watch(sizes);
    await clock.advance(10_000);
    sizes.b = 1;
    await clock.advance(10_000);
    expect((await done)?.message).toBe('a,b');
    expect(looks).toEqual([['a', 'b'], ['a', 'b']]); // biome-ignore format: one row each
  });

  it('looks more seldom where looking takes long', async () => {
    const { clock, over, looks, done } = watch({}, { cost: 2_000 });
    await clock.advance(10_000);
    await clock.advance(2_000);
    await clock.advance(99_000);
    expect(looks).toHaveLength(1);
    await clock.advance(1_000);
    expect(looks).toHaveLength(2);
    over.abort();
    await clock.advance(2_000);
    expect(await done).toBeUndefined();
  });

  it('goes on when counting fails, and says so (fault: no du)', async () => {
    const logger = new RecordingLogger();
    const sizes: Record<string, number> = { fault: 1 };
    const { clock, done } = watch(sizes, { logger });
    await clock.advance(10_000);
    expect(logger.text).toContain('limits are not kept');
    sizes.fault = 0;
    sizes.a = 11;
    await clock.advance(10_000);
    expect((await done)?.message).toBe('a');
  });
});

describe('a pod over the limit of a volume', () => {
  it("is evicted with the least grace and a kubelet's words", async () => {
    await using bench = await JobBench.create({
      spec: { containers: [{ name: 'c' }], volumes: [{ name: 'd', emptyDir: { sizeLimit: '1Mi' } }] },
      scripts: { c: ({ onSignal, exit }) => onSignal((signal) => signal === 'SIGKILL' && exit(137)) },
    });
    const done = bench.run();
    await bench.until(isRunning('c'));
    bench.runtime.usage.set('d', MEBIBYTE + 1);
    await bench.clock.advance(10_000);
    await bench.until((records) => records.at(-1)?.status.reason === 'Evicted');
    await bench.settle();
    expect(bench.runtime.signals).toEqual(['c SIGTERM']);
    await bench.clock.advance(2_000);
    expect(await done).toBe(137);
    const records = await bench.records();
    const message = 'Usage of EmptyDir volume "d" exceeds the limit "1Mi". ';
    expect(records.at(-1)?.status).toMatchObject({ phase: 'Failed', reason: 'Evicted', message, sandbox: 'Gone' });
    expect(records.at(-1)?.status.containers[0]?.state?.terminated).toMatchObject({ exitCode: 137, reason: 'Error' });
    expect(eventsOf(records)).toContain(`Warning Evicted - ${message}`);
  });
});

describe.runIf(process.platform === 'linux')('what directories hold', () => {
  it('is counted by du, one number each, and a missing one is told', async () => {
    const root = await mkdtemp(join(tmpdir(), 'interlink-du-'));
    await mkdir(join(root, 'a b'));
    await mkdir(join(root, 'c/d'), { recursive: true });
    await writeFile(join(root, 'c/d/f'), Buffer.alloc(MEBIBYTE, 1));
    const [small = 0, large = 0] = await diskUsage([join(root, 'a b'), join(root, 'c')], [], root);
    expect(small).toBeLessThan(100_000);
    expect(large).toBeGreaterThanOrEqual(MEBIBYTE);
    await expect(diskUsage([join(root, 'gone')], [], root)).rejects.toThrow('du counted 0 of 1');
    await rm(root, { recursive: true });
  });
});

describe('the scratch directory', () => {
  const make = (candidates: readonly string[], environment: Record<string, string> = {}) =>
    makeScratchDirectory({ candidates, environment, podUid: `scratch-${process.pid}`, logger: silentLogger });

  it('is in the first place that can be used, private, with variables of the job', async () => {
    const root = await mkdtemp(join(tmpdir(), 'interlink-scratch-'));
    await mkdir(join(root, 'job/x'), { recursive: true });
    await writeFile(join(root, 'file'), '');
    const braced = '$' + '{TOP}/$NAME/x';
    const found = await make(['$NONE', 'relative', '/no/such', join(root, 'file'), braced, root], {
      TOP: root,
      NAME: 'job',
    });
    expect(found).toBe(join(root, `job/x/interlink-scratch-${process.pid}`));
    expect((await stat(found ?? '')).mode & 0o7777).toBe(0o700);
    await rm(root, { recursive: true });
  });

  it('is nowhere without a place, in one that allows no execution, or where somebody has taken its name', async () => {
    const root = await mkdtemp(join(tmpdir(), 'interlink-scratch-'));
    expect(await make([])).toBeUndefined();
    expect(await make(['/proc'])).toBeUndefined();
    await mkdir(join(root, `interlink-scratch-${process.pid}`));
    expect(await make([root])).toBeUndefined();
    expect(await readdir(join(root, `interlink-scratch-${process.pid}`))).toEqual([]);
    await rm(root, { recursive: true });
  });

  it('takes away what a killed runner has left there', async () => {
    const root = await mkdtemp(join(tmpdir(), 'interlink-scratch-'));
    const left = join(root, 'interlink-left');
    await mkdir(left);
    await writeFile(join(left, '.owner'), `${await readlink('/proc/self/ns/pid')} 999999999 1`);
    await writeFile(join(root, 'interlink-not-a-directory'), '');
    await chmod(left, 0o700);
    expect(await make([root])).toBeDefined();
    expect(existsSync(left)).toBe(false);
    expect(existsSync(join(root, 'interlink-not-a-directory'))).toBe(true);
    await rm(root, { recursive: true });
  });
});
