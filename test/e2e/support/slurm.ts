import { outputOf } from './command.ts';
import { environment } from './environment.ts';

export interface SlurmJob {
  readonly id: string;
  /** Compact state: `PD`, `R`, `CG`, … */
  readonly state: string;
  readonly user: string;
  readonly name: string;
  readonly comment: string;
  readonly reason: string;
}

const env = { ...process.env, SLURM_CONF: environment.slurmConf };
const SEPARATOR = '\u001f';

/** The jobs in the queue; with `all`, those that ended in the last five minutes too. Not counted as a call of the sidecar. */
export async function slurmJobs({ all = false } = {}): Promise<readonly SlurmJob[]> {
  const format = ['%A', '%t', '%u', '%j', '%k', '%r'].join(SEPARATOR);
  const text = await outputOf(['squeue', '-h', '-a', ...(all ? ['-t', 'all'] : []), '-o', format], { env });
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => {
      const [id = '', state = '', user = '', name = '', comment = '', reason = ''] = line.split(SEPARATOR);
      return { id, state, user, name, comment, reason };
    });
}

/** Jobs of the pods with these UIDs, found by the tag that the sidecar gives each job. */
export async function jobsOfPods(
  uids: readonly string[],
  options: { all?: boolean } = {},
): Promise<readonly SlurmJob[]> {
  const jobs = await slurmJobs(options);
  return jobs.filter((job) => uids.some((uid) => job.comment.includes(uid) || job.name.includes(uid)));
}

/** A Slurm command as the administrator. */
export function slurm(...argv: readonly string[]): Promise<string> {
  return outputOf(argv, { env });
}
