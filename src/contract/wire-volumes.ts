import { InterlinkError } from '../base/errors.ts';
import type { Secret } from '../kube/types.ts';
import { podRefOf } from './pod-ref.ts';
import type { VolumeUpdate } from './volume-update.ts';
import { wireCheck } from './wire-check.ts';
import { canonicalKeys, type JsonObject } from './wire-keys.ts';
import { volumeUpdateSchema } from './wire-schemas.ts';

const KEYS = ['pod', 'volumes', 'configmaps', 'secrets', 'projectedvolumesmaps', 'imagePullSecrets'] as const;

/** `/volumes` on both hops: the lists are spelled as in `/create` of a node. Objects are the update's own, not copies. */
export const wireVolumes = {
  encode({ pod, volumes, configMaps, secrets, projectedVolumes, imagePullSecrets }: VolumeUpdate): JsonObject {
    const { namespace, name, uid } = pod;
    return {
      pod: { metadata: { namespace, name, uid } },
      volumes,
      configmaps: configMaps,
      secrets,
      projectedvolumesmaps: projectedVolumes,
      ...(imagePullSecrets && { imagePullSecrets }),
    };
  },

  /** @throws Invalid naming the path of the fault. */
  decode(value: unknown): VolumeUpdate {
    const body = canonicalKeys(value, KEYS, 'volume update');
    wireCheck(volumeUpdateSchema, body, 'volume update');
    const { imagePullSecrets } = body;
    if ((body.volumes as readonly string[]).length === 0 && !Array.isArray(imagePullSecrets))
      throw new InterlinkError(
        'Invalid',
        'volume update.volumes: expected at least one, as there are no imagePullSecrets',
        {
          code: 'wire.invalid',
        },
      );
    return {
      pod: podRefOf(body.pod as Parameters<typeof podRefOf>[0]),
      volumes: [...new Set(body.volumes as readonly string[])],
      configMaps: (body.configmaps ?? []) as VolumeUpdate['configMaps'],
      secrets: (body.secrets ?? []) as VolumeUpdate['secrets'],
      projectedVolumes: (body.projectedvolumesmaps ?? []) as VolumeUpdate['projectedVolumes'],
      ...(Array.isArray(imagePullSecrets) && { imagePullSecrets: imagePullSecrets as readonly Secret[] }),
    };
  },
};
