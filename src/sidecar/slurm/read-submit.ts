import type { CommandResult } from '../../base/command.ts';
import { type ErrorKind, InterlinkError } from '../../base/errors.ts';
import type { SubmitOutcome } from '../batch/batch-system.ts';

/** What `sbatch --parsable` prints: the id, with the cluster's name behind it in a federation. */
const JOB_ID = /^(\d+)(?:;\S*)?$/;

/** After these words nobody knows whether slurmctld took the job. */
const AMBIGUOUS =
  /timed out|unable to contact|zero bytes|connection (failure|refused|reset)|unexpected message|transport endpoint|socket|slurmctld|slurm_receive/i;

/** Refusals by the words of sbatch, first match wins; what matches none may pass by itself and is tried again. */
const REFUSALS: readonly (readonly [RegExp, ErrorKind])[] = [
  [
    /(QOS|Assoc\w*)?(Max|Grp)\w*Limit|job violates accounting\/qos policy|too many jobs|job submit limit/i,
    'TooManyRequests',
  ],
  [/unrecognized option|invalid option|invalid argument|requires an argument|ambiguous/i, 'Invalid'],
  [
    /invalid (partition|account|qos|feature|generic resource|gres|reservation|license|time limit|wckey|burst buffer|trackable)/i,
    'Invalid',
  ],
  [/requested (node configuration|time limit|reservation|nodes?|partition configuration)/i, 'Invalid'],
  [/memory (specification|required)|cpu count|node count|more processors|invalid (node name|--|-)/i, 'Invalid'],
  [/(not|isn't) (permitted|allowed|authorized)|access(\/permission)? denied/i, 'Invalid'],
  [/invalid .* specif/i, 'Invalid'],
];

/**
 * Reads the outcome of `sbatch --parsable`: an id is success whatever stands on stderr (banners of sites, notes of job_submit plugins), and only a clear refusal
 * is one.
 *
 * @throws Invalid, TooManyRequests or Unavailable with sbatch's own words when the job was refused
 */
export function readSubmit(result: CommandResult): SubmitOutcome {
  const { exitCode, exitSignal, timedOut, stdout, stderr } = result;
  const ids = stdout.split('\n').flatMap((line) => JOB_ID.exec(line.trim())?.[1] ?? []);
  const words = evidence(result);
  if (timedOut) return { kind: 'unknown', evidence: `sbatch did not end in time${words}` };
  if (exitSignal) return { kind: 'unknown', evidence: `sbatch was ended by ${exitSignal}${words}` };
  if (exitCode === 0)
    return ids.length === 1 && ids[0] !== undefined
      ? { kind: 'submitted', jobId: ids[0] }
      : { kind: 'unknown', evidence: `sbatch said success and no job id${words}` };
  if (ids.length > 0 || AMBIGUOUS.test(stderr))
    return { kind: 'unknown', evidence: `sbatch ended with ${exitCode}${words}` };
  const [, kind = 'Unavailable'] = REFUSALS.find(([pattern]) => pattern.test(stderr)) ?? [];
  throw new InterlinkError(
    kind,
    `Slurm refused the job: ${refusal(stderr) || `sbatch ended with ${exitCode} without a word`}`,
    {
      code: 'slurm.submit.refused',
      details: { exitCode, stdout: stdout.slice(0, 1000), stderr: stderr.slice(0, 4000) },
    },
  );
}

const QUOTED_CHARACTERS = 300;

function evidence({ stdout, stderr }: CommandResult): string {
  const text = [stdout.trim(), stderr.trim()].filter((part) => part !== '').join(' / ');
  return text === '' ? ' and printed nothing' : `: ${text.replaceAll(/\s*\n\s*/g, ' / ').slice(0, QUOTED_CHARACTERS)}`;
}

/** The error lines of sbatch; all lines where it marks none. */
function refusal(stderr: string): string {
  const lines = stderr
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '');
  const errors = lines.filter((line) => /^sbatch: (error|fatal|unrecognized|invalid)/i.test(line));
  return (errors.length > 0 ? errors : lines)
    .map((line) => line.replace(/^sbatch: (error: |fatal: )?/, ''))
    .join('; ')
    .slice(0, QUOTED_CHARACTERS);
}
