import { readdir, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { systemCodeOf } from '../base/errors.ts';
import type { Logger } from '../base/logger.ts';
import { containerLogPath, type JobDirectory } from '../contract/job-directory.ts';

/**
 * Removes what an attempt has left in the job directory: its log, also the rotated parts, and its termination file. What cannot be removed stays
 * and is logged. An attempt that never was leaves nothing.
 */
export async function removeAttemptFiles(
  directory: JobDirectory,
  container: string,
  attempt: number,
  logger: Logger,
): Promise<void> {
  if (attempt < 0) return;
  const root = dirname(containerLogPath(directory, container, attempt));
  try {
    const names = await readdir(root);
    for (const name of names.filter((one) => one.startsWith(`${attempt}.`)))
      await rm(join(root, name), { force: true });
  } catch (error) {
    if (systemCodeOf(error) !== 'ENOENT')
      logger.warn('files of an old attempt cannot be removed', { container, attempt, err: error });
  }
}
