import type { ConfigMap } from '../kube/types.ts';
import type { VolumeFiles } from '../kube/volume-files.ts';

/** The files of a `projected` or `downwardAPI` volume as a bundle carries them: a ConfigMap with the volume's name and paths as keys. */
export function projectedConfigMap(volume: string, files: VolumeFiles): ConfigMap {
  const texts: [string, string][] = [];
  const binaries: [string, string][] = [];
  for (const [path, content] of files)
    if ('text' in content) texts.push([path, content.text]);
    else binaries.push([path, content.base64]);
  return {
    metadata: { name: volume },
    data: Object.fromEntries(texts),
    ...(binaries.length === 0 ? {} : { binaryData: Object.fromEntries(binaries) }),
  };
}
