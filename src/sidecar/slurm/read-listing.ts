import type { CommandResult } from '../../base/command.ts';
import { InterlinkError } from '../../base/errors.ts';
import type { BatchJob, JobListing } from '../batch/batch-system.ts';
import { parseJobRow } from './job-row.ts';

/** Stands between columns and appears in no name that a shell user types. */
export const SEPARATOR = '\u001f';

/** Columns of `squeue -O`, in order. What users choose freely comes last. @see squeue(1) 22.05, --Format */
export const SQUEUE_COLUMNS = [
  'JobID',
  'State',
  'exit_code',
  'Reason',
  'StartTime',
  'EndTime',
  'TimeLimit',
  'NodeList',
  'Name',
  'Comment', // biome-ignore format: a list
] as const;

/** Columns of `sacct -o`, in order. @see sacct(1) 22.05, Job Accounting Fields */
export const SACCT_COLUMNS = [
  'JobIDRaw',
  'State',
  'ExitCode',
  'Reason',
  'Start',
  'End',
  'Timelimit',
  'NodeList',
  'JobName', // biome-ignore format: a list
] as const;

const NAME_PREFIX = 'il-';
const TAG_PREFIX = 'interlink/1:';

/** Name of the job of a pod; also what `--dependency=singleton` goes by. */
export function jobName(uid: string): string {
  return `${NAME_PREFIX}${uid}`;
}

/** Comment of the job of a pod. `site` tells sidecars of one user apart. */
export function jobTag(site: string, uid: string): string {
  return `${TAG_PREFIX}${site}:${uid}`;
}

/**
 * Reads a listing of `squeue`. Lines that are no rows (a comment with a line break, a banner) make it incomplete.
 * @throws Unavailable when the command failed or printed no row but something else
 */
export function readQueue(result: CommandResult, site: string): JobListing {
  const { exitCode, stdout, stderr, truncated } = result;
  if (exitCode !== 0 || (stdout.trim() === '' && /error|fatal/i.test(stderr))) throw failure('squeue', result);
  const jobs: BatchJob[] = [];
  let strange = 0;
  for (const line of stdout.split('\n')) {
    if (line.trim() === '') continue;
    const fields = line.split(SEPARATOR);
    const [jobId = '', state = '', exitCodeText = '', reason = '', startTime = '', endTime = '', timeLimit = '', nodeName = '', name = '', comment = ''] = fields; // biome-ignore format: columns
    if (!/^\d+$/.test(jobId) || fields.length < SQUEUE_COLUMNS.length) {
      strange += 1;
      continue;
    }
    const uid = uidOf(name, comment, site);
    jobs.push(
      parseJobRow({ jobId, uid, state, exitCode: exitCodeText, reason, startTime, endTime, timeLimit, nodeName }),
    );
  }
  if (jobs.length === 0 && strange > 0) throw failure('squeue', result);
  return { jobs, complete: strange === 0 && !truncated };
}

/** Reads `sacct -P`; undefined where Slurm keeps no accounts. @throws Unavailable when the command failed */
export function readAccounts(result: CommandResult): readonly BatchJob[] | undefined {
  const { exitCode, stdout, stderr } = result;
  if (/accounting storage is disabled/i.test(stderr)) return undefined;
  if (exitCode !== 0) throw failure('sacct', result);
  const jobs: BatchJob[] = [];
  for (const line of stdout.split('\n')) {
    if (line.trim() === '') continue;
    const [jobId = '', state = '', exitCodeText = '', reason = '', startTime = '', endTime = '', timeLimit = '', nodeName = '', name = ''] = line.split(SEPARATOR); // biome-ignore format: columns
    if (!/^\d+$/.test(jobId) || !name.startsWith(NAME_PREFIX)) throw failure('sacct', result);
    const uid = name.slice(NAME_PREFIX.length);
    jobs.push(
      parseJobRow({ jobId, uid, state, exitCode: exitCodeText, reason, startTime, endTime, timeLimit, nodeName }),
    );
  }
  return jobs;
}

/** The error of a Slurm command that did not do what it should: its exit code and its words. */
export function failure(program: string, { exitCode, exitSignal, stdout, stderr }: CommandResult): InterlinkError {
  const text = [stderr.trim(), stdout.trim()]
    .filter((part) => part !== '')
    .join(' / ')
    .replaceAll(/\s*\n\s*/g, ' / ');
  const how = exitSignal
    ? `was ended by ${exitSignal}`
    : exitCode === 0
      ? 'printed what is no listing'
      : `ended with ${exitCode}`;
  return new InterlinkError('Unavailable', `${program} ${how}: ${text === '' ? 'no output' : text.slice(0, 300)}`, {
    code: `slurm.${program}`,
  });
}

/** The pod of a job: by our comment, or by the name where the site replaces comments. Jobs of other sidecars have none. */
function uidOf(name: string, comment: string, site: string): string | undefined {
  const own = jobTag(site, '');
  if (comment.startsWith(own)) return comment.slice(own.length);
  return !comment.startsWith(TAG_PREFIX) && name.startsWith(NAME_PREFIX) ? name.slice(NAME_PREFIX.length) : undefined;
}
