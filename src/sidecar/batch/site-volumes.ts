import { HOST_PATH_TYPES, type HostPathType, type SiteVolume } from '../../contract/site-volume.ts';
import type { Pod, Volume } from '../../kube/types.ts';
import type { VolumesConfig } from '../site-config.ts';

/** What the volumes of a pod are at this site; each fault names its field and what can be done. */
export interface SiteVolumes {
  /** Volume name → place. */
  readonly places: Readonly<Record<string, SiteVolume>>;
  readonly faults: readonly string[];
}

/** Kinds that are made in the job. */
const MADE = ['configMap', 'secret', 'projected', 'downwardAPI', 'emptyDir'];
const CVMFS = '/cvmfs';
const CVMFS_DRIVER = 'cvmfs.csi.cern.ch';
/** A worker shows the newest revision of a repository; this is its tag. */
const TRUNK = 'trunk';

/** Finds the place of each volume that is not made in the job, as far as the site has opened one. */
export function siteVolumes(pod: Pod, config: VolumesConfig): SiteVolumes {
  const places: Record<string, SiteVolume> = {};
  const faults: string[] = [];
  for (const [index, volume] of (pod.spec?.volumes ?? []).entries()) {
    const found = placeOf(volume, pod, config);
    if (typeof found === 'object') places[volume.name] = found;
    else if (found !== undefined) faults.push(`spec.volumes[${index}]: volume ${JSON.stringify(volume.name)} ${found}`);
  }
  return { places, faults };
}

/** The place; why there is none; or undefined for a volume that is made in the job or has no source at all. */
function placeOf(volume: Volume, pod: Pod, config: VolumesConfig): SiteVolume | string | undefined {
  const { hostPath, persistentVolumeClaim, csi } = volume;
  if (hostPath) return hostPlace(hostPath, config);
  if (persistentVolumeClaim) return claimPlace(persistentVolumeClaim, pod, config);
  if (csi) return csiPlace(csi, config);
  if (volume.emptyDir) return emptyDirFault(volume.emptyDir.medium);
  const foreign = Object.entries(volume).find(
    ([kind, source]) => kind !== 'name' && source !== null && source !== undefined && !MADE.includes(kind),
  );
  if (foreign === undefined) return undefined;
  return `is a ${foreign[0]}, which this site cannot give; use ${[...MADE, 'hostPath', 'persistentVolumeClaim'].join(', ')}`;
}

function hostPlace(
  { path: wanted, type }: NonNullable<Volume['hostPath']>,
  { hostPaths, cvmfs }: VolumesConfig,
): SiteVolume | string {
  const asked = `is the hostPath ${JSON.stringify(wanted)}`;
  const kind = (type ?? '') as HostPathType;
  if (!HOST_PATH_TYPES.includes(kind))
    return `${asked} of the type ${JSON.stringify(type)}; use one of ${HOST_PATH_TYPES.filter(Boolean).join(', ')}`;
  const clean = cleanPath(wanted);
  if (clean === undefined) return `${asked}, which must be an absolute path without ".."`;
  const [rule] = hostPaths
    .filter((one) => below(clean, one.path) !== undefined)
    .toSorted((a, b) => b.path.length - a.path.length);
  if (rule === undefined) {
    const rest = below(clean, CVMFS);
    if (cvmfs.enabled && rest !== undefined) return cvmfsPlace(rest, kind, cvmfs, asked);
    const open = [...hostPaths.map((one) => one.path), ...(cvmfs.enabled ? [CVMFS] : [])].join(', ') || 'none';
    return `${asked}, which this site does not open to pods; its administrator can add it to sidecar.volumes.hostPaths (open: ${open})`;
  }
  const makes = kind === 'DirectoryOrCreate' || kind === 'FileOrCreate';
  if (makes && (!rule.create || rule.readOnly))
    return `${asked} of the type ${kind}, but nothing may be made below ${rule.path}; use ${kind.replace('OrCreate', '')}, or let the administrator set create in sidecar.volumes.hostPaths`;
  const within = rule.rewrite ?? rule.path;
  const path = joined(within, below(clean, rule.path) ?? '');
  return { path, within, readOnly: rule.readOnly, type: kind, create: rule.create && !rule.readOnly };
}

function claimPlace(
  { claimName, readOnly }: NonNullable<Volume['persistentVolumeClaim']>,
  { metadata }: Pod,
  { claims }: VolumesConfig,
): SiteVolume | string {
  const namespace = metadata?.namespace ?? 'default';
  // `constructor` may be the name of a claim.
  const key = [`${namespace}/${claimName}`, claimName].find((name) => Object.hasOwn(claims, name));
  const claim = key === undefined ? undefined : claims[key];
  if (claim === undefined)
    return `is the persistentVolumeClaim ${JSON.stringify(claimName)}, which has no place at this site; its administrator can add "${namespace}/${claimName}" to sidecar.volumes.claims`;
  return {
    path: claim.subPathPerPod ? joined(claim.path, `/${namespace}/${metadata?.name}`) : claim.path,
    within: claim.path,
    readOnly: claim.readOnly || readOnly === true,
    type: claim.subPathPerPod ? 'DirectoryOrCreate' : 'Directory',
    create: claim.subPathPerPod,
  };
}

function csiPlace(
  { driver, volumeAttributes, nodePublishSecretRef }: NonNullable<Volume['csi']>,
  { cvmfs }: VolumesConfig,
): SiteVolume | string {
  if (driver !== CVMFS_DRIVER || !cvmfs.enabled)
    return `is a csi volume of ${driver}, which this site does not have${cvmfs.enabled ? `; it has ${CVMFS_DRIVER}` : ''}`;
  const asked = `is a csi volume of ${driver}`;
  if (nodePublishSecretRef) return `${asked} with a nodePublishSecretRef, which this site cannot use; leave it out`;
  const { repository = '', tag = '', ...others } = volumeAttributes ?? {};
  const other = Object.keys(others)[0];
  if (other !== undefined)
    return `${asked} with the attribute ${JSON.stringify(other)}, which this site cannot give; use repository and tag`;
  if (tag !== '' && tag !== TRUNK)
    return `${asked} with the tag ${JSON.stringify(tag)}, but workers show the newest revision only; leave the tag out`;
  if (repository.includes('/') || repository.startsWith('.'))
    return `${asked}, and ${JSON.stringify(repository)} is no name of a repository`;
  return cvmfsPlace(repository === '' ? '' : `/${repository}`, 'Directory', cvmfs, asked);
}

function cvmfsPlace(
  rest: string,
  type: HostPathType,
  { root, repositories }: VolumesConfig['cvmfs'],
  asked: string,
): SiteVolume | string {
  const repository = rest.split('/')[1];
  if (repositories && !(repository !== undefined && repositories.includes(repository)))
    return `${asked}, but this site gives only these repositories of CernVM-FS: ${repositories.join(', ')}`;
  if (type === 'DirectoryOrCreate' || type === 'FileOrCreate')
    return `${asked} of the type ${type}, but nothing can be made in ${CVMFS}; use ${type.replace('OrCreate', '')}`;
  return { path: joined(root, rest), within: root, readOnly: true, onDemand: true, type, create: false };
}

function emptyDirFault(medium: string | undefined): string | undefined {
  if (medium === undefined || medium === '' || medium === 'Memory') return undefined;
  return `is an emptyDir on the medium ${JSON.stringify(medium)}, which this site cannot give; use "Memory" or leave it out`;
}

/** Without double and trailing slashes; undefined unless it is absolute and stays where it is. */
function cleanPath(path: unknown): string | undefined {
  if (typeof path !== 'string' || !path.startsWith('/') || path.includes('\0')) return undefined;
  const parts = path.split('/').filter((part) => part !== '' && part !== '.');
  return parts.includes('..') ? undefined : `/${parts.join('/')}`;
}

/** What is left of `path` below `top`: empty, or with a leading slash; undefined when it is elsewhere. */
function below(path: string, top: string): string | undefined {
  if (top === '/') return path === '/' ? '' : path;
  if (path === top) return '';
  return path.startsWith(`${top}/`) ? path.slice(top.length) : undefined;
}

function joined(top: string, rest: string): string {
  return top === '/' && rest !== '' ? rest : `${top}${rest}`;
}
