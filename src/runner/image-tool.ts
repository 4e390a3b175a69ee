import { accessSync, constants, statSync } from 'node:fs';
import { join } from 'node:path';

/** Where programs are on a worker whose environment says nothing. */
export const DEFAULT_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/** Directories of Apptainer's own helpers, which are in nobody's PATH. */
export const HELPER_PATH =
  '/usr/libexec/apptainer/bin:/usr/local/libexec/apptainer/bin:/usr/lib/apptainer/bin:/usr/lib64/apptainer/bin';

/** Absolute path of an executable file: `name` itself if it is a path, else the first hit in the colon-separated `path`. */
export function findProgram(name: string, path: string): string | undefined {
  const candidates = name.includes('/')
    ? [name]
    : path
        .split(':')
        .filter((directory) => directory.startsWith('/'))
        .map((directory) => join(directory, name));
  return candidates.find((candidate) => {
    try {
      accessSync(candidate, constants.X_OK);
      return statSync(candidate).isFile();
    } catch {
      return false;
    }
  });
}
