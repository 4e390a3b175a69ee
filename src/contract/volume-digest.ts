import { createHash } from 'node:crypto';
import type { Volume } from '../kube/types.ts';
import { configMapFiles, secretFiles, type VolumeFiles } from '../kube/volume-files.ts';
import { volumeObjects } from './volume-objects.ts';
import type { VolumeObjects } from './volume-update.ts';

/**
 * SHA-256 of the files that a live volume shows: two contents with the same digest look the same in a container, whatever else of their objects has changed
 * (other keys, metadata, versions). Modes are not part of it, as the pod's spec cannot change them.
 */
export function volumeDigest(volume: Volume, objects: VolumeObjects): string {
  const hash = createHash('sha256');
  const files = [...filesOf(volume, objects)].sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
  for (const [path, content] of files) {
    const bytes = 'text' in content ? Buffer.from(content.text, 'utf8') : Buffer.from(content.base64, 'base64');
    hash.update(JSON.stringify([path, bytes.length])).update(bytes);
  }
  return hash.digest('base64url');
}

function filesOf(volume: Volume, objects: VolumeObjects): VolumeFiles {
  const { configMaps, secrets, projectedVolumes } = volumeObjects(volume, objects);
  const [configMap = {}] = configMaps;
  const [secret = {}] = secrets;
  const [projected = {}] = projectedVolumes;
  if (volume.configMap) return configMapFiles(configMap, volume.configMap.items, true);
  if (volume.secret) return secretFiles(secret, volume.secret.items, true);
  return configMapFiles(projected, undefined, true);
}
