/** `type` of a hostPath volume. @see https://kubernetes.io/docs/concepts/storage/volumes/#hostpath-volume-types */
export const HOST_PATH_TYPES = [
  '',
  'Directory',
  'DirectoryOrCreate',
  'File',
  'FileOrCreate',
  'Socket',
  'CharDevice',
  'BlockDevice',
] as const;

/** One of {@link HOST_PATH_TYPES}. */
export type HostPathType = (typeof HOST_PATH_TYPES)[number];

/**
 * A volume that is a place on the site's own file systems. The sidecar decides that the pod may have it; the runner finds it on its worker, sees that it
 * is what it should be, and never changes its owners or removes anything of it.
 */
export interface SiteVolume {
  /** Absolute path on the worker. */
  readonly path: string;
  /** Absolute path of the place that the site has opened; symbolic links may not lead out of it. */
  readonly within: string;
  readonly readOnly: boolean;
  /** Whether parts of it are mounted when they are first used; what is mounted so is read-only by itself. */
  readonly onDemand?: boolean;
  /** What has to be there; `…OrCreate` and the empty type ask for it to be made where it is missing. */
  readonly type: HostPathType;
  /** Whether it may be made, with the mode of the directory above. */
  readonly create: boolean;
}
