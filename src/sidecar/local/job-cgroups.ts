import { existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { InterlinkError, messageOf, systemCodeOf } from '../../base/errors.ts';

/** File in the job directory that holds the memory limit of the pod in bytes; there before the job starts, over restarts of sidecar and machine. */
const LIMIT_FILE = 'memory-limit';

/** Gives each pod of this machine its memory limit; the kernel then ends a process of the pod that goes over, as it does on a kubelet's node. */
export interface JobCgroups {
  /** Notes the limit of a job that has not started. */
  note(directory: string, bytes: number): void;
  /** Makes the cgroup of a job with a limit; the file into which the job writes its pid, undefined without a limit. @throws Unavailable */
  make(uid: string, directory: string): string | undefined;
  /** Removes the cgroup of a job; one that still has processes stays until the next call. */
  remove(uid: string): void;
}

/**
 * Cgroups below `root`, a directory of cgroup v2 or of the memory controller of v1 that belongs to the user who runs the sidecar.
 *
 * @see https://systemd.io/CGROUP_DELEGATION, cgroups(7)
 * @throws Invalid when `root` is no such directory
 */
export function createJobCgroups(root: string): JobCgroups {
  const isV2 = existsSync(join(root, 'cgroup.controllers'));
  const limit = isV2 ? 'memory.max' : 'memory.limit_in_bytes';
  if (!isV2 && !existsSync(join(root, limit)))
    throw new InterlinkError(
      'Invalid',
      `sidecar.local.cgroup: ${root} is no cgroup with a memory controller; name a directory below /sys/fs/cgroup that belongs to this user`,
    );
  return {
    note: (directory, bytes) => writeFileSync(join(directory, LIMIT_FILE), String(bytes), { mode: 0o600 }),
    make(uid, directory) {
      const bytes = noted(directory);
      if (bytes === undefined) return undefined;
      const cgroup = join(root, `interlink-${uid}`);
      try {
        // In v2 children have only the controllers that their parent hands down.
        if (isV2) writeFileSync(join(root, 'cgroup.subtree_control'), '+memory');
        mkdirSync(cgroup, { recursive: true });
        writeFileSync(join(cgroup, limit), bytes);
      } catch (cause) {
        throw new InterlinkError(
          'Unavailable',
          `the memory limit of the pod cannot be set in ${root}: ${messageOf(cause)}; see sidecar.local.cgroup`,
          { cause },
        );
      }
      return join(cgroup, 'cgroup.procs');
    },
    remove(uid) {
      try {
        rmdirSync(join(root, `interlink-${uid}`));
      } catch {
        // There is none, or a process is left in it: the next look tries again, and what stays is empty.
      }
    },
  };
}

function noted(directory: string): string | undefined {
  try {
    return readFileSync(join(directory, LIMIT_FILE), 'utf8');
  } catch (error) {
    if (systemCodeOf(error) === 'ENOENT') return undefined;
    throw error;
  }
}
