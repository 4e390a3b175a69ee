import { rfc3339 } from '../base/clock.ts';
import { InterlinkError } from '../base/errors.ts';
import type { BatchDialect } from './batch/dialect.ts';
import { planJob } from './slurm/plan-job.ts';
import { readCapacity, SINFO_COLUMNS } from './slurm/read-capacity.ts';
import {
  failure,
  jobName,
  jobTag,
  readAccounts,
  readQueue,
  SACCT_COLUMNS,
  SEPARATOR,
  SQUEUE_COLUMNS,
} from './slurm/read-listing.ts';
import { readSubmit } from './slurm/read-submit.ts';
import type { SlurmConfig } from './slurm/slurm-config.ts';

/** Whose jobs are ours. */
export interface SlurmIdentity {
  /** Tells the jobs of this sidecar from those of others of the same user. */
  readonly site: string;
  /** Numeric id of the user that submits. */
  readonly userId: number;
}

/** Accounting is asked from this long before the oldest submission, as its clock is another machine's. */
const CLOCK_SLACK_MS = 300_000;
const ENDED_ALREADY = /invalid job id|already (completing|completed)|job\/step already/i;

/** Slurm by its commands, 20.02 and later. Times are read in UTC, as the commands run with TZ=UTC. */
export function slurmDialect(config: SlurmConfig, { site, userId }: SlurmIdentity): BatchDialect {
  const format = (columns: readonly string[]): string => columns.map((column) => `${column}:${SEPARATOR}`).join(',');
  return {
    name: 'slurm',
    plan: (bundle) => planJob(bundle, config),
    submit: ({ uid, directory, script, plan }) => [
      config.sbatch,
      '--parsable',
      // Nothing of our environment reaches the job; Slurm makes a login environment of the user's own.
      '--export=NIL',
      // A pod that has run must not run again behind the back of Kubernetes.
      '--no-requeue',
      `--chdir=${directory.root}`,
      '--output=batch.out',
      '--open-mode=append',
      `--job-name=${jobName(uid)}`,
      `--comment=${jobTag(site, uid)}`,
      // Of two jobs with one name Slurm runs only one at a time: the second line of defence after the journal, before the runner's claim.
      '--dependency=singleton',
      ...plan.options,
      script,
    ],
    readSubmit,
    list: () => [
      config.squeue,
      `--user=${userId}`,
      '--noheader',
      '--all',
      '--states=all',
      '--noconvert',
      `--Format=${format(SQUEUE_COLUMNS)}`,
    ],
    readList: (result) => readQueue(result, site),
    lookUp: (jobs) => [
      config.sacct,
      '--allocations',
      '--noheader',
      '--parsable2',
      `--delimiter=${SEPARATOR}`,
      `--name=${jobs.map(({ uid }) => jobName(uid)).join(',')}`,
      `--starttime=${rfc3339(Math.min(...jobs.map(({ submittedMs }) => submittedMs)) - CLOCK_SLACK_MS).slice(0, -1)}`,
      `--format=${SACCT_COLUMNS.join(',')}`,
    ],
    readLookUp: readAccounts,
    terminate: (jobId) => [config.scancel, '--batch', '--signal=TERM', jobId],
    cancel: (jobId, onlyPending) => [config.scancel, ...(onlyPending ? ['--state=PENDING'] : []), jobId],
    checkControl(result) {
      if (result.exitCode !== 0 && !ENDED_ALREADY.test(result.stderr)) throw failure('scancel', result);
    },
    capacity: () => [
      config.sinfo,
      '--Node',
      '--noheader',
      ...(config.partition === undefined ? [] : [`--partition=${config.partition}`]),
      `--Format=${format(SINFO_COLUMNS)}`,
    ],
    readCapacity(result) {
      const capacity = readCapacity(result, config.gpus);
      if (capacity.cpu === '0' && result.stdout.trim() === '')
        throw new InterlinkError(
          'Unavailable',
          `sinfo lists no node${config.partition === undefined ? '' : ` of partition ${config.partition}`}`,
          {
            code: 'slurm.capacity',
          },
        );
      return capacity;
    },
  };
}
