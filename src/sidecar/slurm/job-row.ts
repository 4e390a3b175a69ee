import type { BatchEnd, BatchJob } from '../batch/batch-system.ts';
import { SLURM_STATES } from './states.ts';

/** The columns of `squeue` and `sacct` that matter, as text. */
export interface SlurmRow {
  readonly jobId: string;
  readonly uid: string | undefined;
  /** Long name; `sacct` adds who cancelled: `CANCELLED by 1000`. */
  readonly state: string;
  readonly exitCode: string;
  readonly reason: string;
  readonly startTime: string;
  readonly endTime: string;
  readonly timeLimit: string;
  readonly nodeName: string;
}

/** What Slurm writes for "no value". */
const NOTHING = new Set(['', 'N/A', 'n/a', 'None', '(null)', 'Unknown', 'None assigned', 'NONE']);

/** Turns a row into the engine's terms; a state that the table lacks gives phase `unknown`. */
export function parseJobRow(row: SlurmRow): BatchJob {
  const [word = '', by] = row.state.split(' by ');
  const base = { jobId: row.jobId, state: row.state, ...(row.uid === undefined ? {} : { uid: row.uid }) };
  const state = SLURM_STATES[word];
  if (!state) return { ...base, phase: 'unknown' };
  const timeLimitSeconds = parseDuration(row.timeLimit);
  const known = {
    ...base,
    phase: state.phase,
    ...(NOTHING.has(row.nodeName) ? {} : { nodeName: row.nodeName }),
    ...(timeLimitSeconds === undefined ? {} : { timeLimitSeconds }),
  };
  if (state.phase === 'pending') return { ...known, waiting: waitingOf(row, word) };
  if (state.phase === 'running') return known;
  const hadNode = !NOTHING.has(row.nodeName);
  return {
    ...known,
    neverRan: NOTHING.has(row.startTime) || !hadNode,
    // Slurm lists a submission that it refused as a job that failed in the moment it came, without a node.
    refused: word === 'FAILED' && !hadNode,
    end: endOf(row, word, by),
  };
}

function waitingOf(row: SlurmRow, word: string): NonNullable<BatchJob['waiting']> {
  if (word !== 'PENDING') return { reason: 'Queued', message: `Slurm job ${row.jobId} is ${word}` };
  if (NOTHING.has(row.reason)) return { reason: 'Queued', message: `Slurm job ${row.jobId} is pending` };
  const message = `Slurm job ${row.jobId} is pending: ${row.reason}`;
  if (/^JobHeld/.test(row.reason))
    return { reason: 'Held', message: `${message}; scontrol release ${row.jobId} lets it go` };
  const [reason = 'Queued'] = /^[A-Za-z]\w*/.exec(row.reason) ?? [];
  return { reason, message };
}

function endOf(row: SlurmRow, word: string, by: string | undefined): BatchEnd {
  const { exitCode = 'exit', containerReason = 'Error', podReason } = SLURM_STATES[word] ?? {};
  const exit = parseExitCode(row.exitCode);
  const own = exit.signal > 0 ? 128 + exit.signal : exit.code;
  const succeeded = word === 'COMPLETED' && own === 0;
  const code = succeeded ? 0 : exitCode === 'exit' ? own || 1 : exitCode;
  const words = [`Slurm ${word}`];
  if (word === 'TIMEOUT' && !NOTHING.has(row.timeLimit)) words.push(`after ${row.timeLimit}`);
  if (by !== undefined) words.push(`by user ${by}`);
  const facts = [
    ...(exit.code > 0 ? [`exit code ${exit.code}`] : []),
    ...(isSignal(exit.signal) ? [`signal ${exit.signal}`] : []),
    ...(NOTHING.has(row.reason) || row.reason === 'NonZeroExitCode' ? [] : [row.reason]),
    ...(NOTHING.has(row.nodeName) ? [] : [`on ${row.nodeName}`]),
  ];
  return {
    exitCode: code,
    ...(isSignal(exit.signal) && exitCode === 'exit' ? { signal: exit.signal } : {}),
    containerReason: code === 0 ? 'Completed' : containerReason === 'Completed' ? 'Error' : containerReason,
    ...(podReason === undefined ? {} : { podReason }),
    message: `job ${row.jobId}: ${words.join(' ')}${facts.length === 0 ? '' : ` (${facts.join(', ')})`}`,
  };
}

/**
 * Exit code and signal of a job. `sacct` and newer `squeue` write `code:signal`; `squeue` 22.05 writes the raw wait status (10752 for exit code 42,
 * 253 for signal 125 with the core flag).
 */
export function parseExitCode(text: string): { readonly code: number; readonly signal: number } {
  const pair = /^(\d+):(\d+)$/.exec(text);
  if (pair) return { code: Number(pair[1]), signal: Number(pair[2]) };
  const raw = /^\d+$/.test(text) ? Number(text) : 0;
  return { code: (raw >> 8) & 0xff, signal: raw & 0x7f };
}

/** Seconds of `[days-]hours:minutes:seconds`, `minutes:seconds` or `days-hours…`; undefined for UNLIMITED and the like. */
export function parseDuration(text: string): number | undefined {
  const match = /^(?:(\d+)-)?(?:(?:(\d+):)?(\d+):)?(\d+)$/.exec(text);
  if (!match) return undefined;
  const [, days = '0', hours = '0', minutes = '0', seconds = '0'] = match;
  return ((Number(days) * 24 + Number(hours)) * 60 + Number(minutes)) * 60 + Number(seconds);
}

/** Slurm also writes numbers of its own there, such as 125 for out of memory. */
function isSignal(number: number): boolean {
  return number > 0 && number < 65;
}
