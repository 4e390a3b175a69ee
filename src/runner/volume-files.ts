import { InterlinkError } from '../base/errors.ts';
import type { PodBundle } from '../contract/pod-bundle.ts';
import type { ConfigMap, KeyToPath, Volume } from '../kube/types.ts';
import { safeRelativePath } from './safe-relative-path.ts';

/** One file of a volume; `path` is relative and has no `..`. */
export interface VolumeFile {
  readonly path: string;
  readonly content: Buffer;
  readonly mode: number;
}

const DEFAULT_MODE = 0o644;
/** Mode of a token that only one user of the pod shall read. @see pkg/volume/projected of Kubernetes 1.36 */
const PRIVATE_TOKEN_MODE = 0o600;

/**
 * The files of a `configMap`, `secret`, `projected` or `downwardAPI` volume out of the bundle; undefined for other kinds.
 * `privateTokens` gives service account tokens 0600, as a kubelet does for a pod with one user or an fsGroup.
 * @throws Invalid when the bundle lacks a ConfigMap, Secret or key that is not optional, or a path leaves the volume
 */
export function volumeFiles(
  volume: Volume,
  bundle: PodBundle,
  { privateTokens }: { readonly privateTokens: boolean },
): readonly VolumeFile[] | undefined {
  const { name, configMap, secret, projected, downwardAPI } = volume;
  if (configMap !== undefined) {
    const map = bundle.configMaps.find(({ metadata }) => metadata?.name === configMap.name);
    const content = map && { ...texts(map.data), ...base64(map.binaryData) };
    return chosen(`ConfigMap ${configMap.name}`, content, configMap.items, configMap, name);
  }
  if (secret !== undefined) {
    const found = bundle.secrets.find(({ metadata }) => metadata?.name === secret.secretName);
    const content = found && { ...base64(found.data), ...texts(found.stringData) };
    return chosen(`Secret ${secret.secretName}`, content, secret.items, secret, name);
  }
  if (projected === undefined && downwardAPI === undefined) return undefined;
  const resolved: ConfigMap | undefined = bundle.projectedVolumes.find(({ metadata }) => metadata?.name === name);
  const modes = new Map<string, number>();
  for (const { path, mode } of downwardAPI?.items ?? []) if (mode !== undefined) modes.set(path, mode);
  for (const source of projected?.sources ?? []) {
    for (const { items } of [source.configMap, source.secret, source.downwardAPI].filter((one) => one !== undefined))
      for (const { path, mode } of items ?? []) if (mode !== undefined) modes.set(path, mode);
    if (source.serviceAccountToken && privateTokens) modes.set(source.serviceAccountToken.path, PRIVATE_TOKEN_MODE);
  }
  const fallback = projected?.defaultMode ?? downwardAPI?.defaultMode ?? DEFAULT_MODE;
  return Object.entries({ ...texts(resolved?.data), ...base64(resolved?.binaryData) }).map(([path, content]) => ({
    path: safeRelativePath(path, `volume ${name}`),
    content,
    mode: modes.get(path) ?? fallback,
  }));
}

function chosen(
  source: string,
  content: Readonly<Record<string, Buffer>> | undefined,
  items: readonly KeyToPath[] | undefined,
  { defaultMode = DEFAULT_MODE, optional }: { readonly defaultMode?: number; readonly optional?: boolean },
  volume: string,
): readonly VolumeFile[] {
  if (content === undefined) {
    if (optional) return [];
    throw new InterlinkError('Invalid', `${source} of volume ${volume} did not come with the pod; create it again`);
  }
  const wanted: readonly KeyToPath[] = items?.length ? items : Object.keys(content).map((key) => ({ key, path: key }));
  return wanted.flatMap(({ key, path, mode }) => {
    const bytes = content[key];
    if (bytes === undefined) {
      if (optional) return [];
      throw new InterlinkError('Invalid', `${source} of volume ${volume} has no key ${key}`);
    }
    return [{ path: safeRelativePath(path, `volume ${volume}`), content: bytes, mode: mode ?? defaultMode }];
  });
}

function texts(data: Readonly<Record<string, string>> | undefined): Record<string, Buffer> {
  return Object.fromEntries(Object.entries(data ?? {}).map(([key, text]) => [key, Buffer.from(text, 'utf8')]));
}

function base64(data: Readonly<Record<string, string>> | undefined): Record<string, Buffer> {
  return Object.fromEntries(Object.entries(data ?? {}).map(([key, text]) => [key, Buffer.from(text, 'base64')]));
}
