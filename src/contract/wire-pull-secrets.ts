import type { Secret } from '../kube/types.ts';
import type { PodBundle } from './pod-bundle.ts';

/** The field `imagePullSecrets`, the same in a bundle and on both hops: absent when it is empty or null. */
export function pullSecretsOf({
  imagePullSecrets,
}: {
  readonly imagePullSecrets?: unknown;
}): Pick<PodBundle, 'imagePullSecrets'> {
  return Array.isArray(imagePullSecrets) && imagePullSecrets.length > 0
    ? { imagePullSecrets: imagePullSecrets as readonly Secret[] }
    : {};
}
