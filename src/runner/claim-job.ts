import { mkdir, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { systemCodeOf } from '../base/errors.ts';
import { PRIVATE_DIRECTORY, PRIVATE_FILE, syncDirectory } from '../base/files.ts';
import type { JobDirectory } from '../contract/job-directory.ts';

/**
 * Whether this process is the one that runs the pod. Exactly one caller per job directory ever gets true, also over several machines on one network file
 * system and after the batch system ran the job again: `mkdir` decides, and the claim is never given back.
 */
export async function claimJob(directory: JobDirectory, nowMs: number): Promise<boolean> {
  try {
    await mkdir(directory.claim, { mode: PRIVATE_DIRECTORY });
  } catch (error) {
    if (systemCodeOf(error) === 'EEXIST') return false;
    throw error;
  }
  const owner = { host: hostname(), pid: process.pid, time: new Date(nowMs).toISOString() };
  await writeFile(join(directory.claim, 'owner.json'), `${JSON.stringify(owner)}\n`, { mode: PRIVATE_FILE });
  await syncDirectory(directory.root);
  return true;
}
