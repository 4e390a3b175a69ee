import { constants, mkdir, open, realpath, stat } from 'node:fs/promises';
import { join, sep } from 'node:path';
import { InterlinkError, systemCodeOf } from '../base/errors.ts';
import type { Container, VolumeMount } from '../kube/types.ts';
import type { Mount } from './container-runtime.ts';
import { isKernelSince } from './kernel-version.ts';
import type { PodVolume } from './pod-volumes.ts';
import { safeRelativePath } from './safe-relative-path.ts';

/**
 * The container's volume mounts as the runtime takes them. A `subPath` that does not exist is made as a directory with the mode of the volume (0777 for
 * an emptyDir); one that leads out of its volume, also through symbolic links, is refused.
 *
 * @throws InterlinkError with code `CreateContainerConfigError` and a kubelet's words
 */
export async function containerMounts(
  container: Container,
  volumes: ReadonlyMap<string, PodVolume>,
  environment: ReadonlyMap<string, string>,
): Promise<readonly Mount[]> {
  const mounts: Mount[] = [];
  for (const mount of container.volumeMounts ?? []) {
    const volume = volumes.get(mount.name);
    if (volume === undefined)
      throw refuse(`cannot find volume "${mount.name}" to mount into container "${container.name}"`);
    if (!mount.mountPath.startsWith('/') || mount.mountPath.split('/').includes('..'))
      throw refuse(
        `mountPath ${JSON.stringify(mount.mountPath)} of volume "${mount.name}" must be absolute, without ".."`,
      );
    const recursiveReadOnly = mount.recursiveReadOnly === 'Enabled';
    // mount_setattr(2)
    if (recursiveReadOnly && !isKernelSince(5, 12))
      throw refuse(
        `volume "${mount.name}" requested recursive read-only mode, but this worker's kernel cannot do it before Linux 5.12`,
      );
    const subPath = subPathOf(mount, environment);
    if (volume.isSite && (await realpath(volume.path)) !== volume.path)
      throw refuse(`volume "${volume.name}": ${volume.path} has been replaced by a symbolic link`);
    mounts.push({
      source: subPath === undefined ? volume.path : await prepareSubPath(volume, subPath),
      target: mount.mountPath,
      readOnly: volume.alwaysReadOnly || (mount.readOnly ?? false),
      ...(recursiveReadOnly ? { recursiveReadOnly } : {}),
      ...(volume.isSite || subPath !== undefined ? { exact: true } : {}),
      ...(volume.isSite ? { keepOwner: true } : {}),
      ...(volume.isSite && volume.alwaysReadOnly && !volume.onDemand ? { sealed: true } : {}),
      ...(volume.tmpfs && subPath === undefined ? { tmpfs: volume.tmpfs } : {}),
    });
  }
  return mounts;
}

function refuse(message: string, cause?: unknown): InterlinkError {
  return new InterlinkError('Invalid', message, { code: 'CreateContainerConfigError', cause });
}

/** `subPathExpr` expands like an argument, but each variable must be there. */
function subPathOf(mount: VolumeMount, environment: ReadonlyMap<string, string>): string | undefined {
  const { subPath, subPathExpr, name } = mount;
  const expanded =
    subPathExpr?.replace(/\$(?:\$|\(([^)]*)\))/g, (_match, variable: string | undefined) => {
      if (variable === undefined) return '$';
      const value = environment.get(variable);
      if (value === undefined) throw refuse(`missing value for "${variable}" in subPathExpr of volume "${name}"`);
      return value;
    }) ?? subPath;
  if (!expanded) return undefined;
  try {
    return safeRelativePath(expanded, `subPath of volume "${name}"`);
  } catch (error) {
    throw refuse((error as Error).message, error);
  }
}

async function prepareSubPath(volume: PodVolume, subPath: string): Promise<string> {
  // Of content that may be replaced a part stays as it is, as with a kubelet.
  const root = await realpath((await volume.holdContent?.()) ?? volume.path);
  let path = root;
  for (const part of subPath.split('/').filter((name) => name !== '' && name !== '.')) {
    const next = join(path, part);
    try {
      path = await realpath(next);
    } catch (error) {
      if (systemCodeOf(error) !== 'ENOENT' || volume.alwaysReadOnly)
        throw refuse(`failed to prepare subPath for volumeMount "${volume.name}": ${subPath} cannot be used`, error);
      await mkdir(next);
      await setMode(next, (await stat(root)).mode & 0o2777);
      path = next;
    }
    if (!`${path}${sep}`.startsWith(`${root}${sep}`))
      throw refuse(`failed to prepare subPath for volumeMount "${volume.name}": ${subPath} leads out of the volume`);
  }
  return path;
}

/** Of the directory itself, although containers may have put a link in its place meanwhile. */
async function setMode(path: string, mode: number): Promise<void> {
  await using directory = await open(path, constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW);
  await directory.chmod(mode);
}
