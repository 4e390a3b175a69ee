import { readFile, readlink, realpath } from 'node:fs/promises';
import { join } from 'node:path';
import { systemCodeOf } from '../../base/errors.ts';

/** What is left of a job that was started on this machine. */
export type JobProcess =
  | { readonly kind: 'never-started' }
  | { readonly kind: 'running'; readonly pid: number }
  | { readonly kind: 'ended' };

/** File in the job directory that holds the pid of the runner; the launcher writes it before it becomes the runner. */
export const PID_FILE = 'job.pid';

/**
 * Finds the job of a directory. The pid alone proves nothing, as pids are used again: the process must also have the job directory as its working
 * directory, which the launcher and the runner keep for their whole life. Where /proc is missing the pid must do.
 */
export async function findJobProcess(directory: string): Promise<JobProcess> {
  let text: string;
  try {
    text = await readFile(join(directory, PID_FILE), 'utf8');
  } catch (error) {
    if (systemCodeOf(error) === 'ENOENT') return { kind: 'never-started' };
    throw error;
  }
  const pid = Number.parseInt(text, 10);
  return Number.isSafeInteger(pid) && pid > 1 && (await isAlive(pid, directory))
    ? { kind: 'running', pid }
    : { kind: 'ended' };
}

async function isAlive(pid: number, directory: string): Promise<boolean> {
  try {
    process.kill(pid, 0);
  } catch {
    return false;
  }
  try {
    return (await readlink(`/proc/${pid}/cwd`)) === (await realpath(directory));
  } catch {
    // Another user's process, or one that has just ended; without /proc the signal above has decided.
    return process.platform !== 'linux';
  }
}
