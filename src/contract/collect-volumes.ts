import { volumeReferences } from '../kube/object-references.ts';
import type { Pod, Volume } from '../kube/types.ts';
import type { BundleFault } from './bundle-fault.ts';
import type { CollectFacts } from './collect-bundle.ts';
import { errorSentence } from './error-sentence.ts';
import { fetchObjects } from './fetch-objects.ts';
import type { ObjectSource } from './object-source.ts';
import { projectedConfigMap } from './projected-config-map.ts';
import { volumeFiles } from './volume-files.ts';
import { isLiveVolume } from './volume-objects.ts';
import type { VolumeObjects } from './volume-update.ts';

/** What the live volumes of a pod should show now. */
export interface CollectedVolumes {
  /** The volumes that can be made, in the order of the spec. */
  readonly volumes: readonly { readonly volume: Volume; readonly objects: VolumeObjects }[];
  /** Why the others cannot; they keep what they show. */
  readonly faults: readonly BundleFault[];
}

/**
 * Gathers the contents of the pod's `configMap`, `secret`, `projected` and `downwardAPI` volumes anew. A fault of one volume holds up no other.
 * @throws `signal.reason` on abort
 */
export async function collectVolumes(
  pod: Pod,
  source: ObjectSource,
  facts: Omit<CollectFacts, 'hostIPs'>,
  options: { readonly signal: AbortSignal },
): Promise<CollectedVolumes> {
  const found = await fetchObjects(pod, volumeReferences(pod), source, options);
  const volumes: { readonly volume: Volume; readonly objects: VolumeObjects }[] = [];
  const faults: BundleFault[] = [];
  for (const volume of pod.spec?.volumes ?? []) {
    if (!isLiveVolume(volume)) continue;
    const { name, configMap, secret } = volume;
    try {
      const files = (await volumeFiles(pod, volume, found, source, facts, options)) ?? new Map();
      const map = configMap?.name === undefined ? undefined : found.configMap(configMap.name);
      const secrets = secret?.secretName === undefined ? undefined : found.secret(secret.secretName);
      const objects: VolumeObjects = {
        configMaps: map ? [map] : [],
        secrets: secrets ? [secrets] : [],
        projectedVolumes: configMap || secret ? [] : [projectedConfigMap(name, files)],
      };
      volumes.push({ volume, objects });
    } catch (error) {
      options.signal.throwIfAborted();
      faults.push({ part: 'volume', name, message: errorSentence(error) });
    }
  }
  return { volumes, faults };
}
