import { expect } from 'vitest';
import type { PodBundle } from '../../src/contract/pod-bundle.ts';
import { podRefOf } from '../../src/contract/pod-ref.ts';
import type { VolumeUpdate } from '../../src/contract/volume-update.ts';
import { createBundle, createPod } from '../fakes/bundle.ts';
import { type ContractCase, uidOf } from './contract-case.ts';

const CONTRACT = 'src/contract/sidecar.ts updateVolumes';

/** Text and bytes that no hop may change. */
const AWKWARD = `quote " dollar $(X) newline \n tab \t unicode ü € 𝄞 </script>`;

/** A pod with a volume of each live kind and one that is not. */
function liveBundle(): PodBundle {
  const pod = createPod(({ spec }) => {
    spec.volumes = [
      { name: 'cm', configMap: { name: 'map' } },
      { name: 'sec', secret: { secretName: 'sealed' } },
      { name: 'maybe', configMap: { name: 'absent', optional: true } },
      { name: 'proj', projected: { sources: [] } },
      { name: 'down', downwardAPI: { items: [] } },
      { name: 'scratch', emptyDir: {} },
    ];
  });
  return createBundle(pod, {
    configMaps: [{ metadata: { name: 'map' }, data: { k: 'old' } }],
    secrets: [{ metadata: { name: 'sealed' }, data: { k: 'b2xk' } }],
    projectedVolumes: [
      { metadata: { name: 'proj' }, data: { token: 'old' } },
      { metadata: { name: 'down' }, data: { annotations: 'old' } },
    ],
  });
}

const nothing = { configMaps: [], secrets: [], projectedVolumes: [] };

function updateOf({ pod }: PodBundle, update: Partial<VolumeUpdate>): VolumeUpdate {
  return { pod: podRefOf(pod), volumes: [], ...nothing, ...update };
}

/** The rules for new content of volumes. */
export const volumeCases: readonly ContractCase[] = [
  {
    id: 'SC-VOLUMES-001',
    title: 'hands over new content of volumes, every byte of it, to where the pod is',
    source: CONTRACT,
    async run({ sidecar, memory, call }) {
      const bundle = liveBundle();
      await sidecar.create(bundle, call);
      expect((await sidecar.capabilities(call)).capabilities).toContain('volumes');
      const update = updateOf(bundle, {
        volumes: ['cm', 'sec', 'proj'],
        configMaps: [{ metadata: { name: 'map' }, data: { k: AWKWARD, '': '' }, binaryData: { bin: '/wAB' } }],
        secrets: [{ metadata: { name: 'sealed' }, data: { key: 'AAEC/w==' } }],
        projectedVolumes: [{ metadata: { name: 'proj' }, data: { 'dir/file': AWKWARD } }],
      });
      await sidecar.updateVolumes(update, { ...call, session: 'volumes#1' });
      expect(memory.updates).toEqual([update]);
      expect(memory.calls).toContainEqual({ name: 'updateVolumes', uids: [uidOf(bundle)], session: 'volumes#1' });
    },
  },
  {
    id: 'SC-VOLUMES-002',
    title: 'changes the named volumes as wholes and no other; an optional object may come and go',
    source: CONTRACT,
    async run({ sidecar, memory, call }) {
      const bundle = liveBundle();
      await sidecar.create(bundle, call);
      const absent = { metadata: { name: 'absent' }, data: { now: 'here' } };
      const projected = { metadata: { name: 'down' }, data: { labels: 'new' } };
      await sidecar.updateVolumes(updateOf(bundle, { volumes: ['maybe'], configMaps: [absent] }), call);
      await sidecar.updateVolumes(updateOf(bundle, { volumes: ['down'], projectedVolumes: [projected] }), call);
      const after = memory.bundleOf(uidOf(bundle));
      expect(after?.configMaps).toEqual([...bundle.configMaps, absent]);
      expect(after?.secrets).toEqual(bundle.secrets);
      expect(after?.projectedVolumes).toEqual([bundle.projectedVolumes[0], projected]);
      await sidecar.updateVolumes(updateOf(bundle, { volumes: ['maybe'] }), call);
      expect(memory.bundleOf(uidOf(bundle))?.configMaps).toEqual(bundle.configMaps);
    },
  },
  {
    id: 'SC-VOLUMES-003',
    title: 'refuses updates of unknown pods with NotFound, and of volumes that hold no files with Invalid',
    source: CONTRACT,
    async run({ sidecar, call }) {
      const bundle = liveBundle();
      const update = updateOf(bundle, { volumes: ['down'], projectedVolumes: bundle.projectedVolumes });
      await expect(sidecar.updateVolumes(update, call)).rejects.toMatchObject({ kind: 'NotFound' });
      await sidecar.create(bundle, call);
      for (const volume of ['scratch', 'none'])
        await expect(sidecar.updateVolumes({ ...update, volumes: [volume] }, call)).rejects.toMatchObject({
          kind: 'Invalid',
          message: expect.stringContaining(volume),
        });
    },
  },
  {
    id: 'SC-VOLUMES-004',
    title: 'takes updates of a pod that has ended and does nothing',
    source: CONTRACT,
    async run({ sidecar, memory, call }) {
      const bundle = liveBundle();
      await sidecar.create(bundle, call);
      memory.start(uidOf(bundle));
      memory.finish(uidOf(bundle));
      await sidecar.updateVolumes(updateOf(bundle, { volumes: ['sec'] }), call);
      expect(memory.bundleOf(uidOf(bundle))).toEqual(bundle);
    },
  },
  {
    id: 'SC-VOLUMES-006',
    title: 'hands over new image pull secrets, with volumes and without, and that there are none any more',
    source: CONTRACT,
    async run({ sidecar, memory, call }) {
      const bundle = liveBundle();
      await sidecar.create(bundle, call);
      const imagePullSecrets = [{ metadata: { name: 'login' }, data: { '.dockerconfigjson': 'e30=' } }];
      const alone = updateOf(bundle, { imagePullSecrets });
      const gone = updateOf(bundle, { volumes: ['sec'], secrets: bundle.secrets, imagePullSecrets: [] });
      await sidecar.updateVolumes(alone, call);
      expect(memory.bundleOf(uidOf(bundle))).toEqual({ ...bundle, imagePullSecrets });
      await sidecar.updateVolumes(gone, call);
      expect(memory.updates).toEqual([alone, gone]);
    },
  },
  {
    id: 'SC-VOLUMES-005',
    title: 'takes a create with new contents of volumes for the same pod, and the contents as new',
    source: 'src/contract/sidecar.ts create',
    async run({ sidecar, memory, call }) {
      const bundle = liveBundle();
      const first = await sidecar.create(bundle, call);
      const later = { ...bundle, configMaps: [{ metadata: { name: 'map' }, data: { k: 'new' } }] };
      expect(await sidecar.create(later, call)).toEqual(first);
      expect(memory.bundleOf(uidOf(bundle))?.configMaps).toEqual(later.configMaps);
    },
  },
];
