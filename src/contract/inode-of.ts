import { stat } from 'node:fs/promises';
import { systemCodeOf } from '../base/errors.ts';

/** The number that a file keeps when it is renamed; undefined when there is none at `path`. */
export async function inodeOf(path: string): Promise<number | undefined> {
  try {
    return (await stat(path)).ino;
  } catch (error) {
    if (systemCodeOf(error) === 'ENOENT') return undefined;
    throw error;
  }
}
