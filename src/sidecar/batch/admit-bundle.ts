import { InterlinkError } from '../../base/errors.ts';
import type { PodBundle } from '../../contract/pod-bundle.ts';
import { renderFieldPath } from '../../kube/manifest.ts';
import { isRelativePath } from '../../kube/names.ts';
import type { ConfigMap, Secret, Volume } from '../../kube/types.ts';
import { validateData } from '../../kube/validate-data.ts';
import { validatePod } from '../../kube/validate-pod.ts';

/** Kinds of volumes that a job can be given; everything else would silently be missing in it. */
const VOLUME_KINDS = ['configMap', 'secret', 'projected', 'downwardAPI', 'emptyDir'];

/**
 * Refuses a pod that could never run here, before anything is made for it: what the API server would refuse too (names, paths, quantities, mounts without a
 * volume), volumes of a kind that a job cannot have, and missing contents.
 *
 * @throws Invalid with every fault, each with its field.
 */
export function admitBundle(bundle: PodBundle): void {
  const faults = validatePod(bundle.pod).map(({ path, message }) => `${renderFieldPath(path)}: ${message}`);
  for (const [index, volume] of (bundle.pod.spec?.volumes ?? []).entries())
    faults.push(...volumeFaults(volume, `spec.volumes[${index}]`, bundle));
  for (const [kind, objects] of [
    ['ConfigMap', bundle.configMaps],
    ['Secret', bundle.secrets],
  ] as const)
    for (const object of objects)
      for (const { path, message } of validateData(object, kind))
        faults.push(`${kind} ${object.metadata?.name ?? '?'}: ${renderFieldPath(path)}: ${message}`);
  for (const { metadata, data, binaryData } of bundle.projectedVolumes)
    for (const path of Object.keys({ ...data, ...binaryData }))
      if (!isRelativePath(path))
        faults.push(
          `content of volume ${JSON.stringify(metadata?.name)}: ${JSON.stringify(path)} must be a relative path without ".."`,
        );
  if (faults.length === 0) return;
  const { namespace, name } = bundle.pod.metadata ?? {};
  throw new InterlinkError('Invalid', `pod ${namespace}/${name} cannot run here: ${faults.join('; ')}`, {
    code: 'sidecar.inadmissible',
  });
}

function volumeFaults(volume: Volume, at: string, bundle: PodBundle): readonly string[] {
  const { name, configMap, secret, projected, downwardAPI } = volume;
  const foreign = Object.entries(volume)
    .filter(
      ([kind, source]) => kind !== 'name' && source !== null && source !== undefined && !VOLUME_KINDS.includes(kind),
    )
    .map(
      ([kind]) =>
        `${at}: volume ${JSON.stringify(name)} is a ${kind}, which this site cannot give; use ${VOLUME_KINDS.join(', ')}`,
    );
  const missing = (
    kind: string,
    object: string | undefined,
    given: readonly (ConfigMap | Secret)[],
  ): readonly string[] =>
    given.some(({ metadata }) => metadata?.name === object)
      ? []
      : [`${at}: ${kind} ${JSON.stringify(object)} of volume ${JSON.stringify(name)} was not sent along`];
  return [
    ...foreign,
    ...(configMap && !configMap.optional ? missing('ConfigMap', configMap.name, bundle.configMaps) : []),
    ...(secret && !secret.optional ? missing('Secret', secret.secretName, bundle.secrets) : []),
    ...(projected || downwardAPI ? missing('content', name, bundle.projectedVolumes) : []),
  ];
}
