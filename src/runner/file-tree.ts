import type { Dirent } from 'node:fs';
import { lstat, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { systemCodeOf } from '../base/errors.ts';

/** The path with everything below it, links not followed; what goes away meanwhile may be missing. @throws as `lstat` when the path itself is not there */
export async function fileTree(path: string): Promise<readonly string[]> {
  const isDirectory = (await lstat(path)).isDirectory();
  return isDirectory ? [path, ...(await below(path))] : [path];
}

async function below(directory: string): Promise<readonly string[]> {
  let entries: Dirent[];
  try {
    entries = await readdir(directory, { withFileTypes: true });
  } catch (error) {
    if (systemCodeOf(error) === 'ENOENT') return [];
    throw error;
  }
  const paths: string[] = [];
  for (const entry of entries) {
    const path = join(directory, entry.name);
    paths.push(path);
    if (entry.isDirectory()) for (const inner of await below(path)) paths.push(inner);
  }
  return paths;
}
