import { chmod, mkdir, opendir, realpath, stat, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { InterlinkError, messageOf, systemCodeOf } from '../base/errors.ts';
import type { JobSpec } from '../contract/job-directory.ts';
import type { HostPathType, SiteVolume } from '../contract/site-volume.ts';
import type { PodVolume } from './pod-volumes.ts';

/** What a kubelet calls each type. @see https://github.com/kubernetes/kubernetes/blob/v1.36.3/pkg/volume/hostpath/host_path.go checkTypeInternal */
const TYPE_NAMES: Readonly<Partial<Record<HostPathType, string>>> = {
  Directory: 'a directory',
  DirectoryOrCreate: 'a directory',
  File: 'a file',
  FileOrCreate: 'a file',
  Socket: 'a socket file',
  CharDevice: 'a character device',
  BlockDevice: 'a block device',
};

/**
 * Finds the pod's volumes on the site's file systems and makes what may be made. It must come before the sandbox: what is mounted on demand (CernVM-FS, home
 * directories under autofs) is mounted by this, and a sandbox sees the mounts of its beginning.
 *
 * @throws Invalid in a kubelet's words when a place is missing, is something else or leads out of what the site has opened; Unavailable when
 * the file system does not answer
 */
export async function openSiteVolumes({ siteVolumes = {} }: JobSpec): Promise<ReadonlyMap<string, PodVolume>> {
  const volumes = new Map<string, PodVolume>();
  for (const [name, volume] of Object.entries(siteVolumes)) {
    const path = await openOne(name, volume);
    volumes.set(name, {
      name,
      path,
      alwaysReadOnly: volume.readOnly,
      isSite: true,
      onDemand: volume.onDemand ?? false,
    });
  }
  return volumes;
}

async function openOne(name: string, volume: SiteVolume): Promise<string> {
  const { path, within, type } = volume;
  const fail = (why: string, cause?: unknown): InterlinkError =>
    new InterlinkError('Invalid', `MountVolume.SetUp failed for volume ${JSON.stringify(name)} : ${why}`, {
      code: 'volume.site',
      cause,
    });
  try {
    await wake(within);
    const top = await resolved(within);
    if (top === undefined)
      throw fail(`${within}, which this site opens to pods, does not exist on ${hostname()}; tell its administrator`);
    await wake(path);
    const found = await findOrMake(volume, top);
    if (found === undefined)
      throw fail(
        `${path} does not exist on ${hostname()}${volume.create ? '' : '; make it, or ask the administrator of this site'}`,
      );
    if (!isBelow(found, top)) throw fail(`${path} leads out of ${within}, to ${found}`);
    if (!(await hasType(found, type))) throw fail(`hostPath type check failed: ${path} is not ${TYPE_NAMES[type]}`);
    return found;
  } catch (error) {
    if (error instanceof InterlinkError) throw error;
    throw fail(`${path} cannot be used on ${hostname()}: ${messageOf(error)}`, error);
  }
}

/** Opening a directory mounts it where that happens on demand. What cannot be opened here is judged by the steps that follow. */
async function wake(path: string): Promise<void> {
  try {
    await (await opendir(path)).close();
  } catch (error) {
    if (!['ENOENT', 'ENOTDIR', 'EACCES'].includes(systemCodeOf(error) ?? '')) throw error;
  }
}

/** The path without symbolic links, made if that is wanted and allowed; undefined when there is nothing. */
async function findOrMake({ path, within, type, create }: SiteVolume, top: string): Promise<string | undefined> {
  const found = await resolved(path);
  const isWanted = type === '' || type.endsWith('OrCreate');
  if (found !== undefined || !create || !isWanted || path === within) return found;
  const above = await findOrMake(
    { path: dirname(path), within, type: 'DirectoryOrCreate', create, readOnly: false },
    top,
  );
  if (above === undefined || !isBelow(above, top)) return above;
  const made = join(above, basename(path));
  // Of two pods that make it at once both shall go on.
  if (type === 'FileOrCreate') await writeFile(made, '', { flag: 'a', mode: 0o644 });
  else {
    const { mode } = await stat(above);
    if ((await mkdir(made, { recursive: true })) !== undefined) await chmod(made, mode & 0o2777);
  }
  return await realpath(made);
}

async function resolved(path: string): Promise<string | undefined> {
  try {
    return await realpath(path);
  } catch (error) {
    if (systemCodeOf(error) === 'ENOENT') return undefined;
    throw error;
  }
}

async function hasType(path: string, type: HostPathType): Promise<boolean> {
  const found = await stat(path);
  switch (type) {
    case '':
      return true;
    case 'Directory':
    case 'DirectoryOrCreate':
      return found.isDirectory();
    case 'File':
    case 'FileOrCreate':
      return found.isFile();
    case 'Socket':
      return found.isSocket();
    case 'CharDevice':
      return found.isCharacterDevice();
    case 'BlockDevice':
      return found.isBlockDevice();
  }
}

function isBelow(path: string, top: string): boolean {
  return path === top || path.startsWith(top === '/' ? top : `${top}/`);
}
