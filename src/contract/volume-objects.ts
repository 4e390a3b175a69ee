import type { Volume } from '../kube/types.ts';
import type { VolumeObjects } from './volume-update.ts';

/** Whether a volume holds files that come from the cluster and stay live. */
export function isLiveVolume({ configMap, secret, projected, downwardAPI }: Volume): boolean {
  return Boolean(configMap ?? secret ?? projected ?? downwardAPI);
}

/** Those of `objects` that one volume is made of; nothing for a volume of another kind, and for an optional object that is not there. */
export function volumeObjects(volume: Volume, objects: VolumeObjects): VolumeObjects {
  const { name, configMap, secret } = volume;
  const named = <T extends { readonly metadata?: { readonly name?: string } }>(
    list: readonly T[],
    wanted: string | undefined,
  ): readonly T[] => (wanted === undefined ? [] : list.filter(({ metadata }) => metadata?.name === wanted).slice(0, 1));
  return {
    configMaps: named(objects.configMaps, configMap?.name),
    secrets: named(objects.secrets, secret?.secretName),
    projectedVolumes: named(objects.projectedVolumes, volume.projected || volume.downwardAPI ? name : undefined),
  };
}
