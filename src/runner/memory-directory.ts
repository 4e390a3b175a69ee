import { statfs } from 'node:fs/promises';
import type { Logger } from '../base/logger.ts';
import { makeOwnedDirectory } from './owned-directory.ts';

export interface MemoryDirectoryOptions {
  readonly podUid: string;
  /** Bytes that will be written into it at once. */
  readonly needBytes: number;
  readonly logger: Logger;
  /** A tmpfs that everybody may write to; `/dev/shm` unless given. */
  readonly parent?: string;
}

/** Of `statfs(2)`. */
const TMPFS_MAGIC = 0x01021994;

/**
 * A directory in memory for what a kubelet keeps on a tmpfs (Secrets, tokens, emptyDirs with `medium: Memory`), 0700; undefined where the worker has no
 * shared tmpfs with room. It is removed as {@link makeOwnedDirectory} says.
 */
export async function makeMemoryDirectory(options: MemoryDirectoryOptions): Promise<string | undefined> {
  const { podUid, needBytes, logger, parent = '/dev/shm' } = options;
  try {
    const { type, bavail, bsize } = await statfs(parent);
    if (type !== TMPFS_MAGIC || bavail * bsize < needBytes + 1024 * 1024) return undefined;
    return await makeOwnedDirectory(parent, podUid, logger);
  } catch (error) {
    logger.warn('no directory in memory; files go to the job directory', { path: parent, err: error });
    return undefined;
  }
}
