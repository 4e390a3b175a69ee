import type { Pod } from './types.ts';

/** Names of the objects that a pod's volumes and environment refer to, in its own namespace. */
export interface ObjectReferences {
  readonly configMaps: ReadonlySet<string>;
  readonly secrets: ReadonlySet<string>;
  /** Secrets that are shown to registries; a pod starts without them too. */
  readonly pullSecrets: ReadonlySet<string>;
}

interface Names {
  readonly configMaps: Set<string>;
  readonly secrets: Set<string>;
}

/** Every ConfigMap and Secret that a volume of the pod shows or, where it is optional, may show. */
export function volumeReferences(pod: Pod): Names {
  const names: Names = { configMaps: new Set(), secrets: new Set() };
  for (const volume of pod.spec?.volumes ?? []) {
    add(names.configMaps, volume.configMap?.name);
    add(names.secrets, volume.secret?.secretName);
    for (const source of volume.projected?.sources ?? []) {
      add(names.configMaps, source.configMap?.name);
      add(names.secrets, source.secret?.name);
    }
  }
  return names;
}

/** What a running pod follows: the objects of its volumes, and the Secrets that are shown to registries whenever an image is pulled. */
export function liveReferences(pod: Pod): Names & ObjectReferences {
  const pullSecrets = new Set<string>();
  for (const { name } of pod.spec?.imagePullSecrets ?? []) add(pullSecrets, name);
  return { ...volumeReferences(pod), pullSecrets };
}

/** Every ConfigMap and Secret that the pod needs or may need before it starts. */
export function objectReferences(pod: Pod): ObjectReferences {
  const { configMaps, secrets, pullSecrets } = liveReferences(pod);
  for (const container of [...(pod.spec?.initContainers ?? []), ...(pod.spec?.containers ?? [])]) {
    for (const { configMapRef, secretRef } of container.envFrom ?? []) {
      add(configMaps, configMapRef?.name);
      add(secrets, secretRef?.name);
    }
    for (const { valueFrom } of container.env ?? []) {
      add(configMaps, valueFrom?.configMapKeyRef?.name);
      add(secrets, valueFrom?.secretKeyRef?.name);
    }
  }
  return { configMaps, secrets, pullSecrets };
}

function add(names: Set<string>, name: string | undefined): void {
  if (name) names.add(name);
}
