/** A large image over a slow line; a pull that takes longer is ended. */
export const PULL_TIMEOUT_MS = 2 * 3_600_000;

/** One image to fetch. */
export interface ImagePull {
  /** What the site's rules made of the pod's name for it: `docker://…@sha256:…`, and whatever else the tool knows. */
  readonly url: string;
  /** Path of the file that has to be there afterwards, whole and 0600; nothing is there yet. It lies in `work`, and is moved to its place then. */
  readonly target: string;
  /** A private directory for this pull alone; what is left in it is removed afterwards, or by the next pull of the image if this process is killed. */
  readonly work: string;
  /** The cache: private, and the place for what the tool keeps besides. */
  readonly directory: string;
  /** File of `docker login`, 0600, with the one login that the registry has taken; absent when it wanted none. It is gone after the pull. */
  readonly loginFile?: string;
  readonly signal: AbortSignal;
}

/** The part of a runtime that fetches images. */
export interface ImagePuller {
  /** Ending of the names of its files: `.sif`. */
  readonly suffix: string;
  /**
   * Fetches an image. The cache holds a lock for it: no other job pulls the same image at the time, others may be pulled.
   * @throws Unavailable with code `ErrImagePull` and the tool's own words; `signal.reason`.
   */
  pull(request: ImagePull): Promise<void>;
  /** Whether the file and all that belongs to it are there. */
  has(path: string): Promise<boolean>;
  /** Bytes on disk of the file and all that belongs to it; the size of the file when absent. */
  sizeOf?(path: string): Promise<number>;
  /** Removes the file of an image that no pod uses with all that belongs to it in the cache `directory`; does nothing when it has gone. */
  remove(path: string, directory: string): Promise<void>;
}
