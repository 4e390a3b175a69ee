import { InterlinkError, messageOf } from '../../base/errors.ts';
import { volumeObjects } from '../../contract/volume-objects.ts';
import type { VolumeObjects } from '../../contract/volume-update.ts';
import { renderFieldPath } from '../../kube/manifest.ts';
import { isRelativePath } from '../../kube/names.ts';
import type { Volume } from '../../kube/types.ts';
import { validateData } from '../../kube/validate-data.ts';
import { configMapFiles, secretFiles } from '../../kube/volume-files.ts';

/**
 * Refuses contents that the volumes could not show, so that a runner never meets them: missing objects and keys that are not optional, names of keys that
 * are no file names, paths that leave the volume.
 *
 * @throws Invalid with every fault, each with its volume; no content is quoted.
 */
export function admitContents(volumes: readonly Volume[], contents: VolumeObjects): void {
  const faults = volumes.flatMap((volume) =>
    contentFaults(volume, volumeObjects(volume, contents)).map(
      (fault) => `volume ${JSON.stringify(volume.name)}: ${fault}`,
    ),
  );
  if (faults.length === 0) return;
  throw new InterlinkError('Invalid', `new contents cannot be taken: ${faults.join('; ')}`, {
    code: 'sidecar.inadmissible',
  });
}

function contentFaults({ configMap, secret }: Volume, objects: VolumeObjects): readonly string[] {
  const [map] = objects.configMaps;
  const [sealed] = objects.secrets;
  if (configMap)
    return map === undefined
      ? missing('ConfigMap', configMap.name, configMap.optional)
      : [
          ...dataFaults('ConfigMap', map),
          ...keyFaults(() => configMapFiles(map, configMap.items, configMap.optional ?? false)),
        ];
  if (secret)
    return sealed === undefined
      ? missing('Secret', secret.secretName, secret.optional)
      : [
          ...dataFaults('Secret', sealed),
          ...keyFaults(() => secretFiles(sealed, secret.items, secret.optional ?? false)),
        ];
  const [projected] = objects.projectedVolumes;
  if (projected === undefined) return ['its content was not sent along'];
  return Object.keys({ ...projected.data, ...projected.binaryData })
    .filter((path) => !isRelativePath(path))
    .map((path) => `${JSON.stringify(path)} must be a relative path without ".."`);
}

function missing(kind: string, name: string | undefined, optional: boolean | undefined): readonly string[] {
  return optional ? [] : [`${kind} ${JSON.stringify(name)} was not sent along`];
}

function dataFaults(kind: 'ConfigMap' | 'Secret', object: Parameters<typeof validateData>[0]): readonly string[] {
  return validateData(object, kind).map(({ path, message }) => `${kind}: ${renderFieldPath(path)}: ${message}`);
}

function keyFaults(read: () => unknown): readonly string[] {
  try {
    read();
    return [];
  } catch (error) {
    return [messageOf(error)];
  }
}
