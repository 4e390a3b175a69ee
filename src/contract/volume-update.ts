import type { Secret } from '../kube/types.ts';
import type { PodBundle } from './pod-bundle.ts';
import type { PodRef } from './pod-ref.ts';

/** What volumes are made of, as in a {@link PodBundle}: the fields that a pod's volumes refer to, and no others. */
export type VolumeObjects = Pick<PodBundle, 'configMaps' | 'secrets' | 'projectedVolumes'>;

/**
 * New content for some volumes of a pod. It is whole for each volume that it names: an optional object that is not in it does not exist (any more). Volumes
 * that it does not name stay as they are.
 */
export interface VolumeUpdate extends VolumeObjects {
  readonly pod: PodRef;
  /** Names of `configMap`, `secret`, `projected` and `downwardAPI` volumes of the pod's spec; at least one, unless there are `imagePullSecrets`. */
  readonly volumes: readonly string[];
  /** The pod's image pull secrets that there are now, all of them; for pulls from now on. Absent when they have not changed. */
  readonly imagePullSecrets?: readonly Secret[];
}
