import { InterlinkError, kindOf } from '../base/errors.ts';
import type { PodObjects } from '../kube/pod-objects.ts';
import type { ConfigMap, Pod, Secret, Volume, VolumeProjection } from '../kube/types.ts';
import {
  configMapFiles,
  type DownwardFacts,
  downwardFiles,
  secretFiles,
  type VolumeFiles,
} from '../kube/volume-files.ts';
import { errorSentence } from './error-sentence.ts';
import type { ObjectSource } from './object-source.ts';

/**
 * The files of a volume that come from the cluster; undefined for other kinds of volume. Of two sources of a projected volume with one path the
 * later one counts.
 *
 * @throws the kubelet's words when an object or key is missing and not optional, when a token is refused, or for a source that is not supported
 */
export async function volumeFiles(
  pod: Pod,
  volume: Volume,
  objects: PodObjects,
  source: ObjectSource,
  facts: DownwardFacts,
  options: { readonly signal: AbortSignal },
): Promise<VolumeFiles | undefined> {
  const { configMap, secret, projected, downwardAPI } = volume;
  if (configMap) return filesOfConfigMap(objects, configMap);
  if (secret) return filesOfSecret(objects, { ...secret, name: secret.secretName ?? '' });
  if (downwardAPI) return downwardFiles(pod, downwardAPI.items, facts);
  if (!projected) return undefined;
  const files = new Map();
  const problems: unknown[] = [];
  for (const part of projected.sources ?? []) {
    try {
      for (const [path, content] of await filesOfProjection(pod, part, objects, source, facts, options))
        files.set(path, content);
    } catch (error) {
      options.signal.throwIfAborted();
      problems.push(error);
    }
  }
  if (problems.length === 1) throw problems[0];
  if (problems.length > 1) {
    const text = problems.map(errorSentence).join(', ');
    throw new InterlinkError(kindOf(problems[0]), `[${text}]`, { cause: problems[0] });
  }
  return files;
}

async function filesOfProjection(
  pod: Pod,
  part: VolumeProjection,
  objects: PodObjects,
  source: ObjectSource,
  facts: DownwardFacts,
  options: { readonly signal: AbortSignal },
): Promise<VolumeFiles> {
  const { configMap, secret, downwardAPI, serviceAccountToken } = part;
  if (configMap) return filesOfConfigMap(objects, configMap);
  if (secret) return filesOfSecret(objects, secret);
  if (downwardAPI) return downwardFiles(pod, downwardAPI.items, facts);
  if (serviceAccountToken) {
    const { audience, expirationSeconds, path } = serviceAccountToken;
    const { namespace = 'default', name = '', uid = '' } = pod.metadata ?? {};
    const text = await source.serviceAccountToken(
      {
        namespace,
        serviceAccount: pod.spec?.serviceAccountName || 'default',
        podName: name,
        podUid: uid,
        ...(audience ? { audience } : {}),
        ...(expirationSeconds === undefined ? {} : { expirationSeconds }),
      },
      options,
    );
    return new Map([[path, { text }]]);
  }
  const kinds = Object.keys(part).join(', ');
  throw new InterlinkError('Unsupported', `projected volume source ${kinds || 'without a kind'} is not supported`);
}

function filesOfConfigMap(
  objects: PodObjects,
  { name = '', items, optional = false }: NonNullable<VolumeProjection['configMap']>,
): VolumeFiles {
  const object = objects.configMap(name);
  if (!object && !optional) throw new InterlinkError('NotFound', `configmap ${JSON.stringify(name)} not found`);
  return configMapFiles(object ?? ({} satisfies ConfigMap), items, optional);
}

function filesOfSecret(
  objects: PodObjects,
  { name = '', items, optional = false }: NonNullable<VolumeProjection['secret']>,
): VolumeFiles {
  const object = objects.secret(name);
  if (!object && !optional) throw new InterlinkError('NotFound', `secret ${JSON.stringify(name)} not found`);
  return secretFiles(object ?? ({} satisfies Secret), items, optional);
}
