import { basename, dirname } from 'node:path';
import { InterlinkError } from '../base/errors.ts';
import { inodeOf } from './inode-of.ts';
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
