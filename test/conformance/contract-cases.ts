import { expect } from 'vitest';
import { InterlinkError } from '../../src/base/errors.ts';
import type { LogOptions, WatchEvent } from '../../src/contract/sidecar.ts';
import { createBundle, createPod } from '../fakes/bundle.ts';
import { type CaseTarget, type ContractCase, uidOf } from './contract-case.ts';

const CONTRACT = 'src/contract/sidecar.ts';

async function logsOf({ sidecar, call }: CaseTarget, uid: string, options: LogOptions, container = 'main') {
  const name = `pod-${uid.slice(0, 8)}`;
  const chunks: Uint8Array[] = [];
  for await (const chunk of await sidecar.logs({ namespace: 'default', name, uid, container, options }, call))
    chunks.push(chunk);
  return Buffer.concat(chunks).toString('utf8');
}

/** Everything that a user can put into a pod and that no hop may change. */
const AWKWARD = `quote " apostrophe ' dollar $(X) newline \n tab \t unicode ü € 𝄞 nul-escape \\u0000 </script>`;

export const contractCases: readonly ContractCase[] = [
  {
    id: 'SC-CAPABILITIES-001',
    title: 'names itself and what it can',
    source: CONTRACT,
    async run({ sidecar, call }) {
      const document = await sidecar.capabilities(call);
      expect(document.apiVersion).toBe('interlink/v1');
      expect(document.capabilities).toContain('watch');
    },
  },
  {
    id: 'SC-PING-001',
    title: 'tells its resources, accelerators and taints as they are',
    source: CONTRACT,
    async run({ sidecar, memory, call }) {
      memory.pingResult = {
        status: 'ok',
        resources: {
          cpu: '64',
          memory: '256Gi',
          pods: '100',
          accelerators: [{ resourceType: 'nvidia.com/gpu', available: '4' }],
        },
        taints: [],
      };
      expect(await sidecar.ping(call)).toEqual(memory.pingResult);
    },
  },
  {
    id: 'SC-PING-002',
    title: 'fails with Unavailable when the back end does not answer',
    source: CONTRACT,
    async run({ sidecar, memory, call }) {
      memory.fail('ping', new InterlinkError('Unavailable', 'slurmctld does not answer'), 5);
      await expect(sidecar.ping(call)).rejects.toMatchObject({
        kind: 'Unavailable',
        message: expect.stringContaining('slurmctld does not answer'),
      });
    },
  },
  {
    id: 'SC-CREATE-001',
    title: 'gives a job id and shows the pod waiting',
    source: CONTRACT,
    async run({ sidecar, call }) {
      const bundle = createBundle();
      const result = await sidecar.create(bundle, call);
      expect(result).toEqual({ uid: uidOf(bundle), jobId: expect.stringMatching(/./) });
      const [status] = await sidecar.status([bundle.pod], call);
      expect(status).toMatchObject({
        uid: uidOf(bundle),
        name: bundle.pod.metadata?.name,
        namespace: 'default',
        jobId: result.jobId,
        sandbox: 'Waiting',
        containers: [{ name: 'main', image: 'busybox', state: { waiting: { reason: 'ContainerCreating' } } }],
        initContainers: [],
      });
    },
  },
  {
    id: 'SC-CREATE-002',
    title: 'makes one job of any number of creates of one pod, also at the same time',
    source: CONTRACT,
    async run({ sidecar, call }) {
      const bundle = createBundle();
      const results = await Promise.all(Array.from({ length: 5 }, () => sidecar.create(bundle, call)));
      results.push(await sidecar.create(structuredClone(bundle), call));
      expect(new Set(results.map(({ jobId }) => jobId)).size).toBe(1);
    },
  },
  {
    id: 'SC-CREATE-003',
    title: 'refuses another content under a known UID',
    source: CONTRACT,
    async run({ sidecar, call }) {
      const bundle = createBundle();
      await sidecar.create(bundle, call);
      const other = structuredClone(bundle);
      if (other.pod.spec) other.pod.spec.hostname = 'other';
      await expect(sidecar.create(other, call)).rejects.toMatchObject({ kind: 'Conflict' });
    },
  },
  {
    id: 'SC-CREATE-004',
    title: 'hands over every field of the pod and every byte of its objects',
    source: CONTRACT,
    async run({ sidecar, memory, call }) {
      const pod = createPod(({ metadata, spec }) => {
        Object.assign(spec, { fieldOfTomorrow: { nested: [1.5, null, AWKWARD] } });
        if (metadata) metadata.annotations = { 'slurm-job.vk.io/flags': AWKWARD };
        const [main] = spec.containers;
        if (main) {
          main.args = [AWKWARD, '', '-'];
          main.env = [{ name: 'A', value: AWKWARD }];
          main.volumeMounts = ['cm', 'sec', 'proj', 'down', 'cm'].map((name, index) => ({
            name,
            mountPath: `/${name}${index}`,
          }));
        }
        spec.volumes = [
          { name: 'cm', configMap: { name: 'cm-object' } },
          { name: 'sec', secret: { secretName: 'sec-object' } },
          { name: 'proj', projected: { sources: [] } },
          { name: 'down', downwardAPI: { items: [] } },
          { name: 'unused', configMap: { name: 'cm-unused' } },
        ];
      });
      const bundle = createBundle(pod, {
        configMaps: [
          { metadata: { name: 'cm-object' }, data: { 'a.txt': AWKWARD }, binaryData: { bin: '/wAB' } },
          { metadata: { name: 'cm-unused' }, data: { b: '' } },
        ],
        secrets: [{ metadata: { name: 'sec-object' }, data: { key: 'AAEC/w==' } }],
        projectedVolumes: [
          { metadata: { name: 'proj' }, data: { 'dir/file': AWKWARD } },
          { metadata: { name: 'down' }, data: { labels: 'a="b"\n' } },
        ],
      });
      await sidecar.create(bundle, call);
      expect(memory.bundleOf(uidOf(bundle))).toEqual(bundle);
    },
  },
  {
    id: 'SC-CREATE-005',
    title: 'keeps the kind and the words of a refusal',
    source: CONTRACT,
    async run({ sidecar, memory, call }) {
      const message = 'spec.containers[0].resources.limits["nvidia.com/gpu"]: 64 GPUs are more than any node has';
      memory.fail('create', new InterlinkError('Invalid', message));
      await expect(sidecar.create(createBundle(), call)).rejects.toMatchObject({ kind: 'Invalid', message });
    },
  },
  {
    id: 'SC-STATUS-001',
    title: 'answers for many pods in one call and leaves unknown ones out',
    source: CONTRACT,
    async run({ sidecar, memory, call }) {
      const bundles = Array.from({ length: 20 }, () => createBundle());
      for (const bundle of bundles) await sidecar.create(bundle, call);
      const before = memory.calls.filter(({ name }) => name === 'status').length;
      const pods = [...bundles.map(({ pod }) => pod), createPod()];
      const statuses = await sidecar.status(pods, call);
      expect(new Set(statuses.map(({ uid }) => uid))).toEqual(new Set(bundles.map(uidOf)));
      expect(memory.calls.filter(({ name }) => name === 'status').length - before).toBe(1);
    },
  },
  {
    id: 'SC-STATUS-002',
    title: 'shows the exit code, the reason and the times of a container that ended',
    source: CONTRACT,
    async run({ sidecar, memory, call }) {
      const bundle = createBundle();
      await sidecar.create(bundle, call);
      memory.start(uidOf(bundle));
      expect(await sidecar.status([bundle.pod], call)).toMatchObject([
        { sandbox: 'Ready', nodeName: 'memory-node', containers: [{ ready: true, state: { running: {} } }] },
      ]);
      memory.end(uidOf(bundle), 'main', 42, 'OOMKilled');
      expect(await sidecar.status([bundle.pod], call)).toMatchObject([
        { sandbox: 'Gone', containers: [{ state: { terminated: { exitCode: 42, reason: 'OOMKilled' } } }] },
      ]);
    },
  },
  {
    id: 'SC-STATUS-003',
    title: 'fails when the back end is away instead of telling that pods are unknown',
    source: CONTRACT,
    async run({ sidecar, memory, call }) {
      const pod = createPod();
      memory.fail('status', new InterlinkError('Unavailable', 'away'), 5);
      await expect(sidecar.status([pod], call)).rejects.toMatchObject({ kind: 'Unavailable' });
    },
  },
  {
    id: 'SC-STATUS-004',
    title: 'answers nothing for no pods',
    source: CONTRACT,
    async run({ sidecar, call }) {
      expect(await sidecar.status([], call)).toEqual([]);
    },
  },
  {
    id: 'SC-DELETE-001',
    title: 'ends a running pod and succeeds again for it, and for a finished and an unknown one',
    source: CONTRACT,
    async run({ sidecar, memory, call }) {
      const [running, finished, unknown] = [createBundle(), createBundle(), createBundle()];
      for (const bundle of [running, finished]) {
        await sidecar.create(bundle, call);
        memory.start(uidOf(bundle));
      }
      memory.finish(uidOf(finished));
      for (const { pod } of [running, running, finished, unknown, unknown]) await sidecar.delete(pod, call);
      expect(memory.live).toEqual([]);
    },
  },
  {
    id: 'SC-DELETE-002',
    title: 'refuses a late create of a pod that was deleted',
    source: CONTRACT,
    async run({ sidecar, call }) {
      const bundle = createBundle();
      await sidecar.delete(bundle.pod, call);
      await expect(sidecar.create(bundle, call)).rejects.toMatchObject({ kind: 'Conflict' });
    },
  },
  {
    id: 'SC-LOGS-001',
    title: 'gives the log by tail, limit, both, since and with time stamps',
    source: CONTRACT,
    async run(target) {
      const { sidecar, memory, call } = target;
      const bundle = createBundle();
      const uid = uidOf(bundle);
      await sidecar.create(bundle, call);
      memory.start(uid);
      memory.write(uid, 'main', 'one', 'two', `three ${AWKWARD}`);
      memory.finish(uid);
      const whole = `one\ntwo\nthree ${AWKWARD}\n`;
      expect(await logsOf(target, uid, {})).toBe(whole);
      expect(await logsOf(target, uid, { tailLines: 2 })).toBe(`two\nthree ${AWKWARD}\n`);
      expect(await logsOf(target, uid, { tailLines: 0 })).toBe('');
      expect(await logsOf(target, uid, { limitBytes: 5 })).toBe('one\nt');
      expect(await logsOf(target, uid, { tailLines: 2, limitBytes: 5 })).toBe('two\nt');
      expect(await logsOf(target, uid, { sinceSeconds: 3600 })).toBe(whole);
      expect(await logsOf(target, uid, { sinceTime: '2999-01-01T00:00:00Z' })).toBe('');
      expect(await logsOf(target, uid, { tailLines: 3, timestamps: true })).toMatch(/^\d{4}-\d\d-\d\dT\S+Z one\n/);
    },
  },
  {
    id: 'SC-LOGS-002',
    title: 'says as the kubelet does why there is no log',
    source: CONTRACT,
    async run(target) {
      const { sidecar, call } = target;
      const bundle = createBundle();
      const uid = uidOf(bundle);
      await expect(logsOf(target, uid, {})).rejects.toMatchObject({ kind: 'NotFound' });
      await sidecar.create(bundle, call);
      await expect(logsOf(target, uid, {}, 'other')).rejects.toMatchObject({ kind: 'NotFound' });
      await expect(logsOf(target, uid, {})).rejects.toMatchObject({
        kind: 'Invalid',
        message: `container "main" in pod "pod-${uid.slice(0, 8)}" is waiting to start: ContainerCreating`,
      });
      await expect(logsOf(target, uid, { previous: true })).rejects.toMatchObject({ kind: 'Invalid' });
    },
  },
  {
    id: 'SC-LOGS-003',
    title: 'follows line by line until the container ends',
    source: CONTRACT,
    async run({ sidecar, memory, call }) {
      const bundle = createBundle();
      const uid = uidOf(bundle);
      const ref = { namespace: 'default', name: bundle.pod.metadata?.name ?? '', uid };
      await sidecar.create(bundle, call);
      memory.start(uid);
      const log = await sidecar.logs({ ...ref, container: 'main', options: { follow: true } }, call);
      const chunks = log[Symbol.asyncIterator]();
      for (const line of ['one', 'two', 'three']) {
        memory.write(uid, 'main', line);
        expect(String((await chunks.next()).value)).toBe(`${line}\n`);
      }
      memory.finish(uid);
      expect((await chunks.next()).done).toBe(true);
    },
  },
  {
    id: 'SC-LOGS-004',
    title: 'stops following when the caller aborts, with the reason of the abort',
    source: CONTRACT,
    async run({ sidecar, memory, call }) {
      const bundle = createBundle();
      const uid = uidOf(bundle);
      const ref = { namespace: 'default', name: bundle.pod.metadata?.name ?? '', uid };
      await sidecar.create(bundle, call);
      memory.start(uid);
      memory.write(uid, 'main', 'one');
      const controller = new AbortController();
      const options = { ...call, signal: controller.signal };
      const log = await sidecar.logs({ ...ref, container: 'main', options: { follow: true } }, options);
      const chunks = log[Symbol.asyncIterator]();
      await chunks.next();
      const reason = new Error('enough');
      const next = chunks.next();
      controller.abort(reason);
      await expect(next).rejects.toBe(reason);
    },
  },
  {
    id: 'SC-ABORT-001',
    title: 'rejects every call with the reason of an abort that came before',
    source: CONTRACT,
    async run({ sidecar }) {
      const reason = new Error('enough');
      const call = { signal: AbortSignal.abort(reason) };
      await expect(sidecar.create(createBundle(), call)).rejects.toBe(reason);
      await expect(sidecar.delete(createPod(), call)).rejects.toBe(reason);
      await expect(sidecar.status([createPod()], call)).rejects.toBe(reason);
      await expect(sidecar.ping(call)).rejects.toBe(reason);
    },
  },
  {
    id: 'SC-WATCH-001',
    title: 'watches: a snapshot first, then each change, then that a pod is forgotten',
    source: CONTRACT,
    async run({ sidecar, memory, call }) {
      const bundle = createBundle();
      const uid = uidOf(bundle);
      await sidecar.create(bundle, call);
      const controller = new AbortController();
      const events = sidecar.watch({ ...call, signal: controller.signal })[Symbol.asyncIterator]();
      const next = async (): Promise<WatchEvent> => {
        for (;;) {
          const { value } = await events.next();
          if (value?.type !== 'HEARTBEAT') return value;
        }
      };
      expect(await next()).toMatchObject({ type: 'SNAPSHOT', items: [{ uid, sandbox: 'Waiting' }] });
      memory.start(uid);
      expect(await next()).toMatchObject({ type: 'STATUS', item: { uid, sandbox: 'Ready' } });
      memory.finish(uid, 3);
      expect(await next()).toMatchObject({
        type: 'STATUS',
        item: { uid, sandbox: 'Gone', containers: [{ state: { terminated: { exitCode: 3 } } }] },
      });
      memory.forget(uid);
      expect(await next()).toEqual({ type: 'DELETED', uid });
      const reason = new Error('enough');
      const ended = events.next();
      controller.abort(reason);
      await expect(ended).rejects.toBe(reason);
    },
  },
  {
    id: 'SC-SESSION-001',
    title: 'carries the session of the caller to the back end',
    source: 'InterLink-Http-Session',
    async run({ sidecar, memory, call }) {
      const bundle = createBundle();
      await sidecar.create(bundle, { ...call, session: 'CreatePod#4711' });
      expect(memory.calls).toContainEqual({ name: 'create', uids: [uidOf(bundle)], session: 'CreatePod#4711' });
    },
  },
];
