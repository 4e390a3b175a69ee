import type { ResourceList } from '../kube/container-resource.ts';
import type { FieldFacts } from '../kube/downward-api.ts';
import { resolveEnvironment } from '../kube/environment.ts';
import { objectReferences } from '../kube/object-references.ts';
import { serviceEnvironment } from '../kube/service-environment.ts';
import type { ConfigMap, Container, Pod } from '../kube/types.ts';
import { type BundleFault, bundleFaultError } from './bundle-fault.ts';
import { errorSentence } from './error-sentence.ts';
import { fetchObjects } from './fetch-objects.ts';
import type { ObjectSource } from './object-source.ts';
import type { PodBundle } from './pod-bundle.ts';
import { projectedConfigMap } from './projected-config-map.ts';
import { collectPullSecrets, type PullSecretOptions } from './pull-secrets.ts';
import { volumeFiles } from './volume-files.ts';

/** What the node knows beside the pod. */
export interface CollectFacts extends Pick<FieldFacts, 'unlistedAnnotations'> {
  /** Addresses of the node for `status.hostIP` and `status.hostIPs`. */
  readonly hostIPs: readonly string[];
  /** What the node offers: the default of a `resourceFieldRef` without a limit. */
  readonly allocatable: ResourceList;
  /** When the node took up the pod, RFC 3339; the same in each attempt. */
  readonly seenAt: string;
}

/**
 * Gathers what the pod needs, as a kubelet does: volumes first, then the environment of each container. The pod itself is not changed. Each call
 * asks for new service account tokens, so two bundles of one pod differ.
 *
 * @throws an error of `bundleFaultError` while something is missing or cannot be read; `signal.reason` on abort
 */
export async function collectBundle(
  pod: Pod,
  source: ObjectSource,
  facts: CollectFacts,
  options: PullSecretOptions,
): Promise<PodBundle> {
  const objects = await fetchObjects(pod, objectReferences(pod), source, options);
  const faults = new Faults();

  const projectedVolumes: ConfigMap[] = [];
  for (const volume of pod.spec?.volumes ?? []) {
    try {
      const files = await volumeFiles(pod, volume, objects, source, facts, options);
      if (files && (volume.projected || volume.downwardAPI))
        projectedVolumes.push(projectedConfigMap(volume.name, files));
    } catch (error) {
      options.signal.throwIfAborted();
      faults.add('volume', volume.name, error);
    }
  }
  faults.throwIfAny();

  const namespace = pod.metadata?.namespace ?? 'default';
  const serviceLinks = pod.spec?.enableServiceLinks ?? true;
  const services = serviceEnvironment(await source.services(namespace, options), namespace, serviceLinks);
  const resolve = (container: Container): Container => {
    const { envFrom: _resolved, ...rest } = container;
    try {
      return { ...rest, env: resolveEnvironment(pod, container, { ...facts, objects, services }) };
    } catch (error) {
      faults.add('environment', container.name, error);
      return container;
    }
  };
  const spec = pod.spec ?? { containers: [] };
  const containers = spec.containers.map(resolve);
  const initContainers = spec.initContainers?.map(resolve);
  faults.throwIfAny();

  const imagePullSecrets = await collectPullSecrets(pod, source, options);
  const volumes = pod.spec?.volumes ?? [];
  const configMapNames = new Set(volumes.map(({ configMap }) => configMap?.name ?? ''));
  const secretNames = new Set(volumes.map(({ secret }) => secret?.secretName ?? ''));
  return {
    pod: { ...pod, spec: { ...spec, containers, ...(initContainers ? { initContainers } : {}) } },
    configMaps: [...configMapNames].flatMap((name) => (name ? (objects.configMap(name) ?? []) : [])),
    secrets: [...secretNames].flatMap((name) => (name ? (objects.secret(name) ?? []) : [])),
    projectedVolumes,
    ...(imagePullSecrets.length === 0 ? {} : { imagePullSecrets }),
  };
}

class Faults {
  readonly #faults: BundleFault[] = [];
  #cause: unknown;

  add(part: BundleFault['part'], name: string, error: unknown): void {
    this.#cause ??= error;
    this.#faults.push({ part, name, message: errorSentence(error) });
  }

  throwIfAny(): void {
    const [first, ...others] = this.#faults;
    if (first) throw bundleFaultError([first, ...others], this.#cause);
  }
}
