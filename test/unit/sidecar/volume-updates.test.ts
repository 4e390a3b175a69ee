import { existsSync } from 'node:fs';
import { readdir, readFile, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'vitest';
import { jobDirectory, type VolumeContents } from '../../../src/contract/job-directory.ts';
import type { PodBundle } from '../../../src/contract/pod-bundle.ts';
import { podRefOf } from '../../../src/contract/pod-ref.ts';
import type { VolumeUpdate } from '../../../src/contract/volume-update.ts';
import type { Pod } from '../../../src/kube/types.ts';
import { isGone, ScriptedSlurm, shellPod, untilStatus } from '../../fakes/scripted-slurm/scripted-slurm.ts';

const call = { signal: new AbortController().signal };
const map = (value: string) => ({ metadata: { name: 'm' }, data: { k: value } });
const token = (value: string) => ({ metadata: { name: 'proj' }, data: { token: value } });
const sealed = { metadata: { name: 's' }, data: { k: 'b2xk' } };

function livePod(line = 'true'): Pod {
  return shellPod(line, ({ spec }) => {
    if (!spec) return;
    spec.volumes = [
      { name: 'cm', configMap: { name: 'm' } },
      { name: 'few', configMap: { name: 'm', items: [{ key: 'k', path: 'k' }] } },
      { name: 'sec', secret: { secretName: 's', optional: true } },
      { name: 'proj', projected: { sources: [] } },
      { name: 'scratch', emptyDir: {} },
    ];
  });
}

const bundleOf = (pod: Pod, value = 'old'): PodBundle => ({
  pod,
  configMaps: [map(value)],
  secrets: [sealed],
  projectedVolumes: [token('old')],
});

const updateOf = (pod: Pod, update: Partial<VolumeUpdate>): VolumeUpdate => ({
  pod: podRefOf(pod),
  volumes: [],
  configMaps: [],
  secrets: [],
  projectedVolumes: [],
  ...update,
});

const filesOf = (slurm: ScriptedSlurm, pod: Pod) =>
  jobDirectory(join(slurm.directory, 'state', 'jobs', pod.metadata?.uid ?? ''));

async function contentsOf(slurm: ScriptedSlurm, pod: Pod): Promise<VolumeContents> {
  return JSON.parse(await readFile(filesOf(slurm, pod).contents, 'utf8'));
}

test.concurrent('new contents are whole in the job directory when the call returns, for its owner alone', async ({
  expect,
}) => {
  await using slurm = await ScriptedSlurm.create();
  await slurm.hold();
  await using sidecar = await slurm.open();
  const pod = livePod();
  await sidecar.engine.create(bundleOf(pod), call);
  expect(await contentsOf(slurm, pod)).toEqual({ version: 1, revision: 0, volumes: {} });
  await sidecar.engine.updateVolumes(updateOf(pod, { volumes: ['cm', 'few'], configMaps: [map('new')] }), call);
  await sidecar.engine.updateVolumes(updateOf(pod, { volumes: ['sec'] }), call);
  const none = { configMaps: [], secrets: [], projectedVolumes: [] };
  const changed = { ...none, configMaps: [map('new')] };
  expect(await contentsOf(slurm, pod)).toEqual({
    version: 1,
    revision: 2,
    volumes: { cm: changed, few: changed, sec: none },
  });
  const { contents, root } = filesOf(slurm, pod);
  expect((await stat(contents)).mode & 0o777).toBe(0o600);
  expect((await readdir(root)).filter((name) => name.endsWith('.tmp'))).toEqual([]);
});

test.concurrent('what volumes show already changes nothing, and concurrent updates all count', async ({ expect }) => {
  await using slurm = await ScriptedSlurm.create();
  await slurm.hold();
  await using sidecar = await slurm.open();
  const pod = livePod();
  await sidecar.engine.create(bundleOf(pod), call);
  const same = updateOf(pod, {
    volumes: ['cm', 'proj'],
    configMaps: [{ metadata: { name: 'm', resourceVersion: '9' }, data: { k: 'old' } }],
    projectedVolumes: [token('old')],
  });
  await sidecar.engine.updateVolumes(same, call);
  expect((await contentsOf(slurm, pod)).revision).toBe(0);
  await Promise.all([
    sidecar.engine.updateVolumes(updateOf(pod, { volumes: ['cm'], configMaps: [map('new')] }), call),
    sidecar.engine.updateVolumes(updateOf(pod, { volumes: ['proj'], projectedVolumes: [token('new')] }), call),
  ]);
  const { revision, volumes } = await contentsOf(slurm, pod);
  expect(revision).toBe(2);
  expect([volumes.cm?.configMaps, volumes.proj?.projectedVolumes]).toEqual([[map('new')], [token('new')]]);
});

test.concurrent('a create that comes again after an update, also after a restart, is the same pod and keeps the newer contents', async ({
  expect,
}) => {
  await using slurm = await ScriptedSlurm.create();
  await slurm.hold();
  const pod = livePod();
  const created = await (async () => {
    await using sidecar = await slurm.open();
    const result = await sidecar.engine.create(bundleOf(pod), call);
    const update = updateOf(pod, { volumes: ['cm', 'few'], configMaps: [map('new')] });
    await sidecar.engine.updateVolumes(update, call);
    return result;
  })();
  await using sidecar = await slurm.open();
  expect((await contentsOf(slurm, pod)).volumes.cm?.configMaps).toEqual([map('new')]);
  expect(await sidecar.engine.create(bundleOf(pod, 'new'), call)).toEqual(created);
  expect((await contentsOf(slurm, pod)).revision).toBe(1);
  expect(await sidecar.engine.create(bundleOf(pod, 'newer'), call)).toEqual(created);
  const { revision, volumes } = await contentsOf(slurm, pod);
  expect([revision, volumes.cm?.configMaps]).toEqual([2, [map('newer')]]);
  expect(await slurm.jobsOf(pod.metadata?.uid ?? '')).toEqual([created.jobId]);
});

test.concurrent('a directory of an earlier version, which has no contents, takes its first ones', async ({
  expect,
}) => {
  await using slurm = await ScriptedSlurm.create();
  await slurm.hold();
  await using sidecar = await slurm.open();
  const pod = livePod();
  await sidecar.engine.create(bundleOf(pod), call);
  const { contents } = filesOf(slurm, pod);
  await rm(contents);
  await sidecar.engine.updateVolumes(updateOf(pod, { volumes: ['proj'], projectedVolumes: [token('new')] }), call);
  expect((await contentsOf(slurm, pod)).revision).toBe(1);
});

test.concurrent('new image pull secrets wait in a file of their own for the runner, and go with the pod', async ({
  expect,
}) => {
  await using slurm = await ScriptedSlurm.create();
  await slurm.hold();
  await using sidecar = await slurm.open();
  const pod = livePod();
  await sidecar.engine.create(bundleOf(pod), call);
  const secrets = [{ metadata: { name: 'login' }, data: { '.dockerconfigjson': 'e30=' } }];
  const bad = updateOf(pod, { imagePullSecrets: [{ metadata: { name: 'bad' }, data: { 'a/b': '' } }] });
  await expect(sidecar.engine.updateVolumes(bad, call)).rejects.toMatchObject({
    kind: 'Invalid',
    message: expect.stringContaining('image pull secret bad: '),
  });
  await sidecar.engine.updateVolumes(updateOf(pod, { imagePullSecrets: secrets }), call);
  const { pullSecrets } = filesOf(slurm, pod);
  expect(JSON.parse(await readFile(pullSecrets, 'utf8'))).toEqual(secrets);
  expect((await stat(pullSecrets)).mode & 0o777).toBe(0o600);
  expect((await contentsOf(slurm, pod)).revision).toBe(0);
  await sidecar.engine.delete({ metadata: { ...pod.metadata, deletionGracePeriodSeconds: 0 } }, call);
  await expect.poll(() => existsSync(pullSecrets), { timeout: 10_000 }).toBe(false);
});

test.concurrent('contents are refused that the pod could not show', async ({ expect }) => {
  await using slurm = await ScriptedSlurm.create();
  await slurm.hold();
  await using sidecar = await slurm.open();
  const pod = livePod();
  const { engine } = sidecar;
  const unknown = updateOf(pod, { volumes: ['proj'], projectedVolumes: [token('new')] });
  await expect(engine.updateVolumes(unknown, call)).rejects.toMatchObject({ kind: 'NotFound' });
  await engine.create(bundleOf(pod), call);
  const refused: [string, Partial<VolumeUpdate>][] = [
    ['no configMap, secret, projected or downwardAPI volume "scratch"', { volumes: ['scratch'] }],
    ['no configMap, secret, projected or downwardAPI volume "none"', { volumes: ['none'] }],
    ['volume "cm": ConfigMap "m" was not sent along', { volumes: ['cm'] }],
    ['volume "proj": its content was not sent along', { volumes: ['proj'] }],
    ['non-existent config key: k', { volumes: ['few'], configMaps: [{ metadata: { name: 'm' }, data: { x: '' } }] }],
    [
      '"../x" must be a relative path',
      { volumes: ['proj'], projectedVolumes: [{ metadata: { name: 'proj' }, data: { '../x': '' } }] },
    ],
    ['a/b', { volumes: ['sec'], secrets: [{ metadata: { name: 's' }, data: { 'a/b': '' } }] }],
  ];
  for (const [message, update] of refused)
    await expect(engine.updateVolumes(updateOf(pod, update), call), message).rejects.toMatchObject({
      kind: 'Invalid',
      message: expect.stringContaining(message),
    });
  expect((await contentsOf(slurm, pod)).revision).toBe(0);
});

test.concurrent('after the end updates succeed and leave nothing, and what was there is removed', async ({
  expect,
}) => {
  await using slurm = await ScriptedSlurm.create();
  await using sidecar = await slurm.open();
  const pod = livePod('exit 0');
  await sidecar.engine.create(bundleOf(pod), call);
  await untilStatus(sidecar.engine, pod, isGone);
  const { contents, spec } = filesOf(slurm, pod);
  await expect.poll(() => existsSync(spec) || existsSync(contents), { timeout: 10_000 }).toBe(false);
  await sidecar.engine.updateVolumes(updateOf(pod, { volumes: ['proj'], projectedVolumes: [token('new')] }), call);
  expect(existsSync(contents)).toBe(false);
});
