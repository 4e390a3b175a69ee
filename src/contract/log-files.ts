import { type FileHandle, stat } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import { InterlinkError, systemCodeOf } from '../base/errors.ts';
import { LOG_FILES } from './job-directory.ts';

/**
 * Files of a rotated log, oldest first; `path` is the newest.
 * @throws NotFound when there is none
 */
export async function existingFiles(path: string): Promise<string[]> {
  const found: string[] = [];
  for (let index = LOG_FILES - 1; index >= 0; index -= 1) {
    const name = index === 0 ? path : `${path}.${index}`;
    if ((await inodeOf(name)) !== undefined) found.push(name);
  }
  if (found.length === 0)
    throw new InterlinkError('NotFound', `there is no log ${basename(dirname(path))}/${basename(path)}`, {
      code: 'log.missing',
    });
  return found;
}

async function inodeOf(path: string): Promise<number | undefined> {
  try {
    return (await stat(path)).ino;
  } catch (error) {
    if (systemCodeOf(error) === 'ENOENT') return undefined;
    throw error;
  }
}

/** The file written after the one that is open, once rotation has renamed that; undefined while it is still the newest. */
export async function newerFile(handle: FileHandle, path: string): Promise<string | undefined> {
  const own = (await handle.stat()).ino;
  const current = await inodeOf(path);
  if (current === undefined || current === own) return undefined;
  for (let index = 1; index < LOG_FILES; index += 1) {
    if ((await inodeOf(`${path}.${index}`)) === own) return index === 1 ? path : `${path}.${index - 1}`;
  }
  // It was rotated away while nobody read: go on with the oldest that is left.
  return (await existingFiles(path))[0];
}
