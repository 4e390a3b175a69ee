import { InterlinkError } from '../../base/errors.ts';
import type { PodBundle } from '../../contract/pod-bundle.ts';
import type { SiteVolume } from '../../contract/site-volume.ts';
import { renderFieldPath } from '../../kube/manifest.ts';
import { isRelativePath } from '../../kube/names.ts';
import type { ConfigMap, Secret, Volume } from '../../kube/types.ts';
import { validateData } from '../../kube/validate-data.ts';
import { validatePod } from '../../kube/validate-pod.ts';
import { securityFaults } from './security-faults.ts';
import type { SitePolicy } from './site-policy.ts';
import { siteVolumes } from './site-volumes.ts';

/**
 * Refuses a pod that could never run here, before anything is made for it: what the API server would refuse too (names, paths, quantities, mounts without a
 * volume), what the site does not give (volumes, powers), and missing contents.
 *
 * @returns the places of its volumes on the site's file systems, by volume name
 * @throws Invalid with every fault, each with its field.
 */
export function admitBundle(bundle: PodBundle, policy: SitePolicy): Readonly<Record<string, SiteVolume>> {
  const volumes = siteVolumes(bundle.pod, policy.volumes);
  const faults = validatePod(bundle.pod).map(({ path, message }) => `${renderFieldPath(path)}: ${message}`);
  faults.push(...volumes.faults, ...securityFaults(bundle.pod, policy));
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
  if (faults.length === 0) return volumes.places;
  const { namespace, name } = bundle.pod.metadata ?? {};
  throw new InterlinkError('Invalid', `pod ${namespace}/${name} cannot run here: ${faults.join('; ')}`, {
    code: 'sidecar.inadmissible',
  });
}

function volumeFaults(volume: Volume, at: string, bundle: PodBundle): readonly string[] {
  const { name, configMap, secret, projected, downwardAPI } = volume;
  const missing = (
    kind: string,
    object: string | undefined,
    given: readonly (ConfigMap | Secret)[],
  ): readonly string[] =>
    given.some(({ metadata }) => metadata?.name === object)
      ? []
      : [`${at}: ${kind} ${JSON.stringify(object)} of volume ${JSON.stringify(name)} was not sent along`];
  return [
    ...(configMap && !configMap.optional ? missing('ConfigMap', configMap.name, bundle.configMaps) : []),
    ...(secret && !secret.optional ? missing('Secret', secret.secretName, bundle.secrets) : []),
    ...(projected || downwardAPI ? missing('content', name, bundle.projectedVolumes) : []),
  ];
}
