import { isKind } from '../base/errors.ts';
import { objectReferences } from '../kube/object-references.ts';
import type { Pod, Secret } from '../kube/types.ts';
import type { ObjectSource } from './object-source.ts';
import type { PodBundle } from './pod-bundle.ts';

/** How image pull secrets are looked for. */
export interface PullSecretOptions {
  readonly signal: AbortSignal;
  /** Those that may not be read are an error and not left out: the API server may not have learnt yet that this node runs the pod. */
  readonly mayBeTooEarly?: boolean;
}

/**
 * The image pull secrets of the pod that there are. As with a kubelet the pod starts without one that does not exist or that nobody may read.
 * @throws the error of a source that cannot be reached now: it is worth asking again. `signal.reason` on abort.
 */
export async function collectPullSecrets(
  pod: Pod,
  source: Pick<ObjectSource, 'secret'>,
  { signal, mayBeTooEarly = false }: PullSecretOptions,
): Promise<readonly Secret[]> {
  const namespace = pod.metadata?.namespace ?? 'default';
  const found = await Promise.all(
    [...objectReferences(pod).pullSecrets].map((name) =>
      source.secret(namespace, name, { signal }).catch((error: unknown) => {
        signal.throwIfAborted();
        if (mayBeTooEarly || !isKind(error, 'Forbidden')) throw error;
        return undefined;
      }),
    ),
  );
  return found.flatMap((secret) => secret ?? []);
}

/** Names of the pod's image pull secrets that its bundle does not have. */
export function missingPullSecrets({ pod, imagePullSecrets = [] }: PodBundle): readonly string[] {
  const found = new Set(imagePullSecrets.map(({ metadata }) => metadata?.name));
  return [...objectReferences(pod).pullSecrets].filter((name) => !found.has(name));
}
