import { mkdir, readdir, readFile, readlink, rm, statfs, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { systemCodeOf } from '../base/errors.ts';
import { PRIVATE_DIRECTORY, PRIVATE_FILE } from '../base/files.ts';
import type { Logger } from '../base/logger.ts';

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
const PREFIX = 'interlink-';
const OWNER = '.owner';

/**
 * A directory in memory for what a kubelet keeps on a tmpfs (Secrets, tokens, emptyDirs with `medium: Memory`), 0700; undefined where the worker has no
 * shared tmpfs with room. Whoever made it removes it when the pod has ended; what a killed runner left behind is removed here by the next one of
 * the same user.
 */
export async function makeMemoryDirectory(options: MemoryDirectoryOptions): Promise<string | undefined> {
  const { podUid, needBytes, logger, parent = '/dev/shm' } = options;
  try {
    const { type, bavail, bsize } = await statfs(parent);
    if (type !== TMPFS_MAGIC || bavail * bsize < needBytes + 1024 * 1024) return undefined;
    await sweep(parent, logger);
    const path = join(parent, `${PREFIX}${podUid}`);
    await mkdir(path, { mode: PRIVATE_DIRECTORY });
    await writeFile(join(path, OWNER), await identity(process.pid), { mode: PRIVATE_FILE });
    return path;
  } catch (error) {
    logger.warn('no directory in memory; files go to the job directory', { path: parent, err: error });
    return undefined;
  }
}

/** A process for as long as it lives: its pid namespace (another one's pids mean nothing here), pid and start time. */
async function identity(pid: number): Promise<string> {
  const stat = await readFile(`/proc/${pid}/stat`, 'latin1');
  // The name in parentheses may hold anything; the start time is field 22, the 20th after it.
  const started = stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19];
  return `${await readlink('/proc/self/ns/pid')} ${pid} ${started}`;
}

async function sweep(parent: string, logger: Logger): Promise<void> {
  const namespace = await readlink('/proc/self/ns/pid');
  for (const name of await readdir(parent)) {
    if (!name.startsWith(PREFIX)) continue;
    const path = join(parent, name);
    try {
      const owner = await readFile(join(path, OWNER), 'latin1');
      const [space, pid] = owner.split(' ');
      if (space !== namespace || (await isAlive(Number(pid), owner))) continue;
      await rm(path, { recursive: true, force: true });
      logger.info('removed what an earlier runner left in memory', { path });
    } catch (error) {
      // Another user's, or one that is being made or removed at this moment.
      if (!['EACCES', 'EPERM', 'ENOENT'].includes(systemCodeOf(error) ?? '')) throw error;
    }
  }
}

async function isAlive(pid: number, owner: string): Promise<boolean> {
  try {
    return (await identity(pid)) === owner;
  } catch (error) {
    if (systemCodeOf(error) === 'ENOENT') return false;
    throw error;
  }
}
