import { readFile, truncate } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, test } from 'vitest';
import type { OpenedSidecar } from '../../../src/sidecar/open-sidecar.ts';
import {
  bundleOf,
  createPatiently,
  isGone,
  ScriptedSlurm,
  shellPod,
  untilStatus,
} from '../../fakes/scripted-slurm/scripted-slurm.ts';

const call = { signal: new AbortController().signal };

/** Opens a sidecar that stops dead at a failpoint: whatever comes after it in that pod's course never happens. */
async function openUntil(
  slurm: ScriptedSlurm,
  name: string,
): Promise<{ sidecar: OpenedSidecar; reached: Promise<void> }> {
  const reached = Promise.withResolvers<void>();
  const failpoint = (at: string): Promise<void> | undefined => {
    if (at !== name) return undefined;
    reached.resolve();
    return new Promise(() => {});
  };
  return { sidecar: await slurm.open({ failpoint }), reached: reached.promise };
}

describe.concurrent('a sidecar that dies', () => {
  test.for(['directory-written', 'accepted', 'intent-written', 'command-done', 'id-written'])(
    'at %s has one job for the pod after its restart and a repeated create',
    async (name, { expect }) => {
      await using slurm = await ScriptedSlurm.create();
      const pod = shellPod('true');
      const uid = pod.metadata?.uid ?? '';
      const { sidecar, reached } = await openUntil(slurm, name);
      sidecar.engine.create(bundleOf(pod), call).catch(() => {});
      await reached;
      await sidecar[Symbol.asyncDispose]();

      await using again = await slurm.open();
      const jobId = await createPatiently(again.engine, pod);
      await untilStatus(again.engine, pod, isGone);
      expect(await slurm.jobsOf(uid)).toEqual([jobId]);
      expect(await slurm.runsOf(uid)).toBe(1);
    },
  );

  test('at stop-written ends the pod after its restart', async ({ expect }) => {
    await using slurm = await ScriptedSlurm.create();
    const pod = shellPod('sleep 30');
    const { sidecar, reached } = await openUntil(slurm, 'stop-written');
    const { jobId } = await sidecar.engine.create(bundleOf(pod), call);
    sidecar.engine.delete(pod, call).catch(() => {});
    await reached;
    await sidecar[Symbol.asyncDispose]();

    await using again = await slurm.open();
    await untilStatus(again.engine, pod, isGone);
    await expect.poll(() => slurm.stateOf(jobId), { timeout: 8_000 }).not.toMatch(/PENDING|RUNNING/);
  });

  test('writes a specification again that the disk has lost', async ({ expect }) => {
    await using slurm = await ScriptedSlurm.create();
    await slurm.hold();
    const pod = shellPod('exit 3');
    const first = await slurm.open();
    await first.engine.create(bundleOf(pod), call);
    await first[Symbol.asyncDispose]();
    const file = join(first.stateDirectory, 'jobs', pod.metadata?.uid ?? '', 'pod.json');
    const before = await readFile(file, 'utf8');
    // As a file system may show it after a loss of power.
    await truncate(file, 0);

    await using again = await slurm.open();
    expect(await readFile(file, 'utf8')).toBe(before);
    await slurm.release();
    const status = await untilStatus(again.engine, pod, isGone);
    expect(status.containers[0]?.state?.terminated?.exitCode).toBe(3);
  });

  test('takes up jobs that ran and ended while it was away', async ({ expect }) => {
    await using slurm = await ScriptedSlurm.create();
    const pods = [shellPod('exit 4'), shellPod('sleep 1; exit 5')];
    const first = await slurm.open();
    for (const pod of pods) await first.engine.create(bundleOf(pod), call);
    await first[Symbol.asyncDispose]();
    await expect.poll(() => slurm.stateOf('1'), { timeout: 8_000 }).toBe('FAILED');

    await using again = await slurm.open();
    const codes = await Promise.all(
      pods.map(
        async (pod) => (await untilStatus(again.engine, pod, isGone)).containers[0]?.state?.terminated?.exitCode,
      ),
    );
    expect(codes).toEqual([4, 5]);
  });

  test('keeps the final status of a pod for ever, whatever the queue says later', async ({ expect }) => {
    await using slurm = await ScriptedSlurm.create();
    const pod = shellPod('exit 6');
    const first = await slurm.open();
    await first.engine.create(bundleOf(pod), call);
    const before = await untilStatus(first.engine, pod, isGone);
    await first[Symbol.asyncDispose]();
    await slurm.purge();

    await using again = await slurm.open({ change: { lostGraceSeconds: 0 } });
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect((await again.engine.status([pod]))[0]).toEqual(before);
  });
});

describe.concurrent('a submission without a clear outcome', () => {
  test.for([
    ['lost', 'the job was taken and sbatch failed'],
    ['killed', 'the job was taken and sbatch was killed'],
    ['late', 'the job is taken after sbatch was given up'],
    ['id-and-fail', 'sbatch printed an id and failed'],
    ['unreachable', 'the controller was not reached'],
    ['hang', 'sbatch hung and took nothing'],
    ['garbage', 'sbatch printed something else and took nothing'],
    ['error0', 'sbatch printed an error and succeeded'],
  ] as const)('(%s: %s) is cleared by asking the queue and leaves one job', async ([fault], { expect }) => {
    await using slurm = await ScriptedSlurm.create();
    await slurm.fault('sbatch', fault, 1);
    await using sidecar = await slurm.open({
      change: { submitTimeoutSeconds: fault === 'late' || fault === 'hang' ? 1 : 10 },
    });
    const { engine } = sidecar;
    const pod = shellPod('sleep 0.3');
    const uid = pod.metadata?.uid ?? '';
    await engine
      .create(bundleOf(pod), call)
      .catch((error: unknown) => expect(error).toMatchObject({ kind: 'Unavailable' }));
    await untilStatus(engine, pod, isGone);
    const { jobId } = await engine.create(bundleOf(pod), call);
    expect(await slurm.jobsOf(uid)).toEqual([jobId]);
    expect(await slurm.runsOf(uid)).toBe(1);
  });

  test('is told to the caller at once with the words of the command', async ({ expect }) => {
    await using slurm = await ScriptedSlurm.create();
    await slurm.fault('sbatch', 'garbage', 1);
    await using sidecar = await slurm.open({ change: { settleSeconds: 60 } });
    await expect(sidecar.engine.create(bundleOf(shellPod('true')), call)).rejects.toMatchObject({
      kind: 'Unavailable',
      message: expect.stringContaining('Welcome to the cluster'),
    });
  });

  test('is settled by accounting when the job has left the queue', async ({ expect }) => {
    await using slurm = await ScriptedSlurm.create();
    await slurm.fault('sacct', 'on');
    await slurm.fault('sbatch', 'lost', 1);
    await slurm.fault('squeue', 'fail');
    await using sidecar = await slurm.open();
    const { engine } = sidecar;
    const pod = shellPod('exit 8');
    await engine.create(bundleOf(pod), call).catch(() => {});
    await expect.poll(() => slurm.stateOf('1'), { timeout: 8_000 }).toBe('FAILED');
    await slurm.purge();
    await slurm.mend('squeue');
    const status = await untilStatus(engine, pod, isGone);
    expect(status.jobId).toBe('1');
    expect(await slurm.jobsOf(pod.metadata?.uid ?? '')).toEqual(['1']);
  });

  test('keeps a deleted pod from ever running', async ({ expect }) => {
    await using slurm = await ScriptedSlurm.create();
    await slurm.hold();
    await slurm.fault('sbatch', 'late', 1);
    await using sidecar = await slurm.open({ change: { submitTimeoutSeconds: 1 } });
    const { engine } = sidecar;
    const pod = shellPod('true');
    const created = engine.create(bundleOf(pod), call).catch(() => {});
    await new Promise((resolve) => setTimeout(resolve, 200));
    await engine.delete(pod, call);
    await created;
    await untilStatus(engine, pod, isGone);
    await slurm.release();
    for (const id of await slurm.jobsOf(pod.metadata?.uid ?? ''))
      await expect.poll(() => slurm.stateOf(id), { timeout: 5_000 }).toBe('CANCELLED');
    expect(await slurm.runsOf(pod.metadata?.uid ?? '')).toBe(0);
  });
});

describe.concurrent('sbatch', () => {
  test('that prints a banner beside the id has succeeded', async ({ expect }) => {
    await using slurm = await ScriptedSlurm.create();
    await slurm.fault('sbatch', 'banner');
    await using sidecar = await slurm.open();
    await expect(sidecar.engine.create(bundleOf(shellPod('true')), call)).resolves.toMatchObject({ jobId: '1' });
  });

  test('that refuses makes the create invalid and leaves nothing, so that a later create may succeed', async ({
    expect,
  }) => {
    await using slurm = await ScriptedSlurm.create();
    await slurm.fault('sbatch', 'refuse', 1);
    await using sidecar = await slurm.open();
    const pod = shellPod('true');
    await expect(sidecar.engine.create(bundleOf(pod), call)).rejects.toMatchObject({
      kind: 'Invalid',
      message: expect.stringContaining('Invalid account'),
    });
    expect(await sidecar.engine.status([pod])).toEqual([]);
    await expect(sidecar.engine.create(bundleOf(pod), call)).resolves.toMatchObject({ jobId: '1' });
  });

  test('that is missing makes the create retriable and names what to do', async ({ expect }) => {
    await using slurm = await ScriptedSlurm.create();
    await using sidecar = await slurm.open({ change: { slurm: { sbatch: '/nowhere/sbatch' } } });
    await expect(sidecar.engine.create(bundleOf(shellPod('true')), call)).rejects.toMatchObject({
      kind: 'Unavailable',
      message: expect.stringMatching(/\/nowhere\/sbatch: no such program.*install/),
    });
  });
});
