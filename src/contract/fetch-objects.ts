import type { ObjectReferences } from '../kube/object-references.ts';
import type { PodObjects } from '../kube/pod-objects.ts';
import type { ConfigMap, Pod, Secret } from '../kube/types.ts';
import type { ObjectSource } from './object-source.ts';

/**
 * The objects of the pod's namespace that `names` lists, each asked for once and all at the same time. What could not be read throws when it is looked up, so
 * that a fault is told where the object is needed.
 *
 * @throws `signal.reason` on abort
 */
export async function fetchObjects(
  pod: Pod,
  names: Pick<ObjectReferences, 'configMaps' | 'secrets'>,
  source: ObjectSource,
  options: { readonly signal: AbortSignal },
): Promise<PodObjects> {
  const namespace = pod.metadata?.namespace ?? 'default';
  const [configMaps, secrets] = await Promise.all([
    settle<ConfigMap>(names.configMaps, (name) => source.configMap(namespace, name, options)),
    settle<Secret>(names.secrets, (name) => source.secret(namespace, name, options)),
  ]);
  options.signal.throwIfAborted();
  return {
    configMap: (name) => settledValue(configMaps.get(name)),
    secret: (name) => settledValue(secrets.get(name)),
  };
}

async function settle<T>(
  names: ReadonlySet<string>,
  fetch: (name: string) => Promise<T | undefined>,
): Promise<ReadonlyMap<string, PromiseSettledResult<T | undefined>>> {
  const list = [...names];
  const results = await Promise.allSettled(list.map(fetch));
  return new Map(list.map((name, index) => [name, results[index] as PromiseSettledResult<T | undefined>]));
}

function settledValue<T>(result: PromiseSettledResult<T | undefined> | undefined): T | undefined {
  if (result?.status === 'rejected') throw result.reason;
  return result?.value;
}
