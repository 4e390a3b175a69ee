import { randomBytes } from 'node:crypto';
import { chmod, mkdir, open, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';

/** Mode of every file that interlink writes unless a pod asks for another one. */
export const PRIVATE_FILE = 0o600;
/** Mode of every directory that interlink makes unless a pod asks for another one. */
export const PRIVATE_DIRECTORY = 0o700;

/** Makes `path` and its parents, 0700; an existing directory keeps its content and gets the mode. */
export async function makePrivateDirectory(path: string): Promise<void> {
  await mkdir(path, { recursive: true, mode: PRIVATE_DIRECTORY });
  await chmod(path, PRIVATE_DIRECTORY);
}

/** Makes a rename or a new entry in `directory` durable. File systems that cannot sync a directory (EINVAL) are left alone. */
export async function syncDirectory(directory: string): Promise<void> {
  const handle = await open(directory, 'r');
  try {
    await handle.sync();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EINVAL') throw error;
  } finally {
    await handle.close();
  }
}

/**
 * Replaces `path` by `data` in one step that survives kill -9 and power loss: a reader sees the old content or the new one,
 * and after the promise resolves the new one is durable. The file has `mode` (0600) from its first moment.
 */
export async function writeFileAtomic(path: string, data: string | Uint8Array, mode = PRIVATE_FILE): Promise<void> {
  const temporary = `${path}.${process.pid}.${randomBytes(4).toString('hex')}.tmp`;
  try {
    const handle = await open(temporary, 'wx', mode);
    try {
      await handle.chmod(mode);
      await handle.writeFile(data);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
  await syncDirectory(dirname(path));
}
