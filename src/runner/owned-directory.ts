import { mkdir, readdir, readFile, readlink, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { systemCodeOf } from '../base/errors.ts';
import { PRIVATE_DIRECTORY, PRIVATE_FILE } from '../base/files.ts';
import type { Logger } from '../base/logger.ts';

const PREFIX = 'interlink-';
const OWNER = '.owner';

/**
 * A directory of this pod in a place that everybody on the worker may write to, 0700, new. Whoever made it removes it when the pod has ended; what a killed
 * runner left behind is removed here by the next one of the same user.
 *
 * @throws the system's error when it cannot be made, also when it is there already
 */
export async function makeOwnedDirectory(parent: string, podUid: string, logger: Logger): Promise<string> {
  await sweep(parent, logger);
  const path = join(parent, `${PREFIX}${podUid}`);
  await mkdir(path, { mode: PRIVATE_DIRECTORY });
  await writeFile(join(path, OWNER), await identity(process.pid), { mode: PRIVATE_FILE });
  return path;
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
      logger.info('removed what an earlier runner left behind', { path });
    } catch (error) {
      // Another user's, something else of ours, or one that is being made or removed at this moment.
      if (!['EACCES', 'EPERM', 'ENOENT', 'ENOTDIR'].includes(systemCodeOf(error) ?? '')) throw error;
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
