import { chmod, chown, mkdir, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { InterlinkError } from '../base/errors.ts';
import type { Logger } from '../base/logger.ts';
import type { JobDirectory, JobSpec } from '../contract/job-directory.ts';
import { podRefOf } from '../contract/pod-ref.ts';
import { podMemoryLimit } from '../kube/pod-memory-limit.ts';
import { parseQuantity, wholeUnits } from '../kube/quantity.ts';
import type { Pod, Volume } from '../kube/types.ts';
import type { ContainerRuntime } from './container-runtime.ts';
import { ContentVolumes } from './content-volumes.ts';
import type { JobContents } from './job-contents.ts';
import { makeMemoryDirectory } from './memory-directory.ts';
import { safeRelativePath } from './safe-relative-path.ts';
import { makeScratchDirectory } from './scratch-directory.ts';
import type { VolumeFile } from './volume-files.ts';
import type { VolumeOwnership } from './write-volume.ts';

/** One volume of the pod on this worker. */
export interface PodVolume {
  readonly name: string;
  /** Directory on the worker. */
  readonly path: string;
  /** A kubelet mounts these read-only whatever the pod says. */
  readonly alwaysReadOnly: boolean;
  /** A place of the site: nobody changes its owners or removes it. */
  readonly isSite?: boolean;
  /** Parts of it are mounted when they are first used. */
  readonly onDemand?: boolean;
  /** A tmpfs of the runtime shall take the directory's place. */
  readonly tmpfs?: { readonly sizeBytes?: number };
  /** For volumes whose content may be replaced: the directory of the present one, which is kept from then on, for mounts of a part of it. */
  readonly holdContent?: () => Promise<string>;
}

/** The volumes of one pod. */
export interface PodVolumes {
  readonly byName: ReadonlyMap<string, PodVolume>;
  /** Begins to give the volumes the new contents that arrive in the job directory; the runtime helps where files belong to the pod's group. */
  follow(runtime: Pick<ContainerRuntime, 'giveToGroup'>): void;
  /**
   * Ends that and removes everything, with the runtime's help where containers had other users; what is left even so is logged, and removed with the job directory.
   */
  remove(runtime?: Pick<ContainerRuntime, 'removeTrees'>): Promise<void>;
}

export interface PodVolumesDeps {
  readonly logger: Logger;
  readonly nowMs: () => number;
  /** The job's own; it may say where scratch space is. */
  readonly environment?: Readonly<Record<string, string>>;
  /** Volumes that are there already. */
  readonly siteVolumes?: ReadonlyMap<string, PodVolume>;
  /** What volumes show instead of what the bundle has. */
  readonly contents: JobContents;
  /** Where tests look for a tmpfs. */
  readonly memoryParent?: string;
}

/**
 * Makes the pod's volumes on this worker: files out of the bundle (those of Secrets, tokens and the downward API in memory where that can be had),
 * empty directories in the scratch space.
 *
 * @throws Invalid when the bundle lacks something or a volume is of a kind that no runner can make; what was made before is removed again
 */
export async function makePodVolumes(
  directory: JobDirectory,
  spec: JobSpec,
  { logger, nowMs, environment = {}, siteVolumes, contents, memoryParent }: PodVolumesDeps,
): Promise<PodVolumes> {
  const { pod } = spec.bundle;
  const { uid } = podRefOf(pod);
  const security = pod.spec?.securityContext;
  const fsGroup = security?.fsGroup;
  const ownership: VolumeOwnership = {
    canChown: process.geteuid?.() === 0,
    ...(fsGroup === undefined ? {} : { fsGroup }),
  };
  const privateTokens = fsGroup !== undefined || hasOneUser(pod);
  const content = new ContentVolumes({ bundle: spec.bundle, privateTokens, ownership, nowMs, logger });
  const present = await contents.read();
  const filesByVolume = new Map<Volume, readonly VolumeFile[] | undefined>(
    (pod.spec?.volumes ?? []).map((volume) => [volume, content.filesOf(volume, present)]),
  );
  const needBytes = [...filesByVolume.values()]
    .flatMap((files) => files ?? [])
    .reduce((sum, f) => sum + f.content.length, 0);
  const inMemory = [...filesByVolume.keys()].some((volume) => belongsInMemory(volume));
  const memory = inMemory
    ? await makeMemoryDirectory({ podUid: uid, needBytes, logger, ...(memoryParent && { parent: memoryParent }) })
    : undefined;
  const needsScratch = [...filesByVolume.keys()].some((volume) => volume.emptyDir && !belongsInMemory(volume));
  const scratch = needsScratch
    ? await makeScratchDirectory({ candidates: spec.scratch ?? [], environment, podUid: uid, logger })
    : undefined;
  const roots = [memory, scratch, directory.volumes].filter((path) => path !== undefined);

  const byName = new Map<string, PodVolume>(siteVolumes);
  const stopped = new AbortController();
  let following: Promise<void> | undefined;
  const follow = (runtime: Pick<ContainerRuntime, 'giveToGroup'>): void => {
    if (content.isEmpty) return;
    content.giveGroupBy(runtime.giveToGroup?.bind(runtime));
    following ??= contents.follow(present.revision, (next) => content.update(next), stopped.signal);
  };
  const remove = async (runtime?: Pick<ContainerRuntime, 'removeTrees'>): Promise<void> => {
    stopped.abort();
    await following;
    for (const path of roots) {
      try {
        await rm(path, { recursive: true, force: true });
      } catch {
        // Files of the containers' other users: only the runtime can be them.
        await removeWithRuntime(path, runtime, logger);
      }
    }
  };
  try {
    for (const path of roots) await mkdir(path, { recursive: true, mode: 0o700 });
    for (const [volume, files] of filesByVolume) {
      safeRelativePath(volume.name, 'volume');
      const base = belongsInMemory(volume) ? (memory ?? directory.volumes) : directory.volumes;
      if (files !== undefined) {
        const path = join(base, volume.name);
        await content.make(volume, path, files);
        const holdContent = (): Promise<string> => content.hold(volume.name);
        byName.set(volume.name, { name: volume.name, path, alwaysReadOnly: true, holdContent });
      } else if (volume.emptyDir !== undefined) {
        byName.set(
          volume.name,
          await makeEmptyDir(volume, pod, belongsInMemory(volume) ? base : (scratch ?? base), ownership),
        );
      } else if (!byName.has(volume.name)) {
        const kind = Object.keys(volume).find((key) => key !== 'name') ?? 'none';
        throw new InterlinkError('Invalid', `volume ${volume.name}: kind ${kind} cannot be made on a worker`);
      }
    }
  } catch (error) {
    await remove();
    throw error;
  }
  return { byName, follow, remove };
}

async function removeWithRuntime(
  path: string,
  runtime: Pick<ContainerRuntime, 'removeTrees'> | undefined,
  logger: Logger,
): Promise<void> {
  try {
    const entries = await readdir(path);
    await runtime?.removeTrees?.(entries.map((entry) => join(path, entry)));
    await rm(path, { recursive: true, force: true });
  } catch (error) {
    logger.warn('volumes cannot be removed', { path, err: error });
  }
}

function belongsInMemory({ secret, projected, downwardAPI, emptyDir }: Volume): boolean {
  return (secret ?? projected ?? downwardAPI) !== undefined || emptyDir?.medium === 'Memory';
}

async function makeEmptyDir(volume: Volume, pod: Pod, base: string, ownership: VolumeOwnership): Promise<PodVolume> {
  const path = join(base, volume.name);
  await mkdir(path);
  const { fsGroup, canChown } = ownership;
  if (fsGroup !== undefined && canChown) await chown(path, -1, fsGroup);
  await chmod(path, fsGroup === undefined ? 0o777 : 0o2777);
  const made = { name: volume.name, path, alwaysReadOnly: false };
  // A subPath is made on this side, where the runtime's tmpfs is not seen.
  if (volume.emptyDir?.medium !== 'Memory' || hasSubPath(volume.name, pod)) return made;
  const limit = wholeUnits(parseQuantity(volume.emptyDir.sizeLimit ?? '0'));
  // No more than the pod may have anyway, as with a kubelet.
  const sizeBytes = Math.min(limit || Number.POSITIVE_INFINITY, podMemoryLimit(pod) || Number.POSITIVE_INFINITY);
  return { ...made, tmpfs: Number.isFinite(sizeBytes) ? { sizeBytes } : {} };
}

function hasSubPath(volume: string, pod: Pod): boolean {
  const containers = [...(pod.spec?.initContainers ?? []), ...(pod.spec?.containers ?? [])];
  return containers
    .flatMap(({ volumeMounts }) => volumeMounts ?? [])
    .some(({ name, subPath, subPathExpr }) => name === volume && (subPath || subPathExpr));
}

/** Whether every container runs as one and the same user that the pod names. @see FsUserFrom in pkg/volume/util of Kubernetes */
function hasOneUser(pod: Pod): boolean {
  const containers = [...(pod.spec?.initContainers ?? []), ...(pod.spec?.containers ?? [])];
  const users = new Set(
    containers.map(({ securityContext }) => securityContext?.runAsUser ?? pod.spec?.securityContext?.runAsUser),
  );
  return users.size === 1 && !users.has(undefined);
}
