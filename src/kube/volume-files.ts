import { InterlinkError } from '../base/errors.ts';
import { containerResourceValue, type ResourceList } from './container-resource.ts';
import { type MetadataFacts, metadataFieldText } from './downward-api.ts';
import type { ConfigMap, DownwardAPIVolumeFile, KeyToPath, Pod, Secret } from './types.ts';

/** Content of a file: text, or bytes in base64 where they are no text. */
export type FileContent = { readonly text: string } | { readonly base64: string };

/** Path within a volume → content. Modes are in the volume's source. */
export type VolumeFiles = ReadonlyMap<string, FileContent>;

/**
 * The files of a ConfigMap: all keys, or those that `items` choose.
 * @throws NotFound in the kubelet's words when a chosen key is missing and not `optional`
 */
export function configMapFiles(
  configMap: ConfigMap,
  items: readonly KeyToPath[] | undefined,
  optional: boolean,
): VolumeFiles {
  const contents = new Map<string, FileContent>();
  for (const [key, text] of Object.entries(configMap.data ?? {})) contents.set(key, { text });
  for (const [key, base64] of Object.entries(configMap.binaryData ?? {})) contents.set(key, { base64 });
  return chosen(contents, items, optional, 'configmap references non-existent config key');
}

/**
 * The files of a Secret: all keys, or those that `items` choose.
 * @throws NotFound in the kubelet's words when a chosen key is missing and not `optional`
 */
export function secretFiles(secret: Secret, items: readonly KeyToPath[] | undefined, optional: boolean): VolumeFiles {
  const contents = new Map<string, FileContent>();
  for (const [key, base64] of Object.entries(secret.data ?? {})) contents.set(key, textOrBytes(base64));
  return chosen(contents, items, optional, 'references non-existent secret key');
}

/** What files of a downward API volume are made of. */
export interface DownwardFacts extends MetadataFacts {
  readonly allocatable: ResourceList;
}

/**
 * The files of a downward API volume.
 * @throws Invalid for a field or resource that a volume cannot show
 */
export function downwardFiles(
  pod: Pod,
  items: readonly DownwardAPIVolumeFile[] | undefined,
  facts: DownwardFacts,
): VolumeFiles {
  const files = new Map<string, FileContent>();
  for (const { path, fieldRef, resourceFieldRef } of items ?? []) {
    let text = '';
    if (fieldRef) text = metadataFieldText(pod, fieldRef.fieldPath, facts);
    else if (resourceFieldRef) {
      const { containerName = '', resource, divisor } = resourceFieldRef;
      const { initContainers = [], containers = [] } = pod.spec ?? {};
      const container = [...initContainers, ...containers].find(({ name }) => name === containerName);
      if (!container) throw new InterlinkError('Invalid', `container ${containerName} not found`);
      text = containerResourceValue(container, resource, divisor, facts.allocatable);
    }
    files.set(path, { text });
  }
  return files;
}

function chosen(
  contents: VolumeFiles,
  items: readonly KeyToPath[] | undefined,
  optional: boolean,
  complaint: string,
): VolumeFiles {
  if (!items || items.length === 0) return contents;
  const files = new Map<string, FileContent>();
  for (const { key, path } of items) {
    const content = contents.get(key);
    if (content) files.set(path, content);
    else if (!optional) throw new InterlinkError('NotFound', `${complaint}: ${key}`);
  }
  return files;
}

const strictText = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

function textOrBytes(base64: string): FileContent {
  try {
    return { text: strictText.decode(Buffer.from(base64, 'base64')) };
  } catch {
    // Not UTF-8: stays as bytes.
    return { base64 };
  }
}
