import type { Clock } from '../../base/clock.ts';
import { messageOf } from '../../base/errors.ts';
import type { Logger } from '../../base/logger.ts';
import type { BatchEnd, BatchJob, BatchSystem, JobListing } from './batch-system.ts';
import { JOB_LOST } from './final-status.ts';
import type { JobFiles } from './job-files.ts';
import type { PodJob } from './pod-job.ts';
import type { Submitter } from './submitter.ts';

export interface JudgeDeps {
  readonly system: BatchSystem;
  readonly files: JobFiles;
  readonly submitter: Submitter;
  readonly find: (uid: string) => PodJob | undefined;
  /** Whether the pod was deleted and forgotten. */
  readonly isTombstone: (uid: string) => boolean;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly signal: AbortSignal;
  /** Runs work that nobody waits for. */
  readonly spawn: (work: Promise<void>) => void;
}

export interface JudgeOptions {
  /** Time after an ambiguous submission before absence from the queue means that there is no job. */
  readonly settleMs: number;
  /** Time a job may be missing from good polls, accounting and the runner's record before it is lost. */
  readonly lostGraceMs: number;
  /** Time that the runner's last record may need to become visible after the batch system showed the end. */
  readonly recordGraceMs: number;
  /** Time that a job may stay in the queue after its runner told the end. */
  readonly lingerMs: number;
  readonly orphans: { readonly cancel: boolean; readonly graceMs: number };
}

/** Exit code for containers of which nobody knows the end. */
const LOST_EXIT_CODE = 137;

/**
 * Turns what the batch system says into changes of pods. The order of truth is the runner's record, then accounting, then the queue; absence alone
 * ends nothing.
 */
export class Judge {
  readonly #deps: JudgeDeps;
  readonly #options: JudgeOptions;
  readonly #orphans = new Map<string, { readonly sinceMs: number }>();
  readonly #strange = new Set<string>();

  constructor(deps: JudgeDeps, options: JudgeOptions) {
    this.#deps = deps;
    this.#options = options;
  }

  /** Takes up a good poll. */
  async judge(listing: JobListing, asked: readonly PodJob[], startedMs: number): Promise<void> {
    const byId = new Map(listing.jobs.map((row) => [row.jobId, row]));
    const byUid = Map.groupBy(listing.jobs, (row) => row.uid ?? '');
    const missing: PodJob[] = [];
    await Promise.all(
      asked.map((job) =>
        this.#guarded(job, async () => {
          const rows = byUid.get(job.uid) ?? [];
          if (job.known === undefined) {
            if (!(await this.#adopt(job, rows))) missing.push(job);
          } else {
            const row = byId.get(job.known.jobId);
            if (row) await this.#seen(job, row);
            else missing.push(job);
            await this.#removeDuplicates(job, rows);
          }
        }),
      ),
    );
    if (listing.complete && missing.length > 0) await this.#lookUp(missing, startedMs);
    await this.#inspectOrphans(listing.jobs);
  }

  async #seen(job: PodJob, row: BatchJob): Promise<void> {
    const { logger, clock } = this.#deps;
    job.missingSinceMs = undefined;
    if (row.phase === 'unknown') {
      if (!this.#strange.has(row.state))
        logger.warn('unknown job state; pods keep theirs', { state: row.state, jobId: row.jobId });
      this.#strange.add(row.state);
      return;
    }
    const changed = job.batch?.phase !== row.phase;
    job.batch = row;
    if (changed && !job.connected && !job.over) await job.readRecords();
    if (row.phase === 'ended') return this.#ended(job, row);
    job.announce();
    const { endedMs } = job.record;
    if (job.over && endedMs !== undefined && clock.nowMs() - endedMs > this.#options.lingerMs && job.known) {
      logger.warn('job outlives its pod and is cancelled', { podUid: job.uid, jobId: row.jobId });
      await this.#deps.system.cancel(job.known, false, this.#deps.signal);
    }
  }

  async #ended(job: PodJob, row: BatchJob): Promise<void> {
    const { clock } = this.#deps;
    if (!job.over) await job.readRecords();
    if (!job.over && !job.hasLastWord && this.#options.recordGraceMs > 0 && !row.neverRan) {
      if (job.endSeenMs === undefined) {
        job.endSeenMs = clock.monotonicMs();
        this.#deps.spawn(
          clock.sleep(this.#options.recordGraceMs, { signal: this.#deps.signal }).then(() => this.#close(job, row)),
        );
      }
      return;
    }
    await this.#close(job, row);
  }

  async #close(job: PodJob, row: BatchJob): Promise<void> {
    if (!job.over) await job.readRecords();
    if (!job.over && row.end) await job.endByBatch(await this.#verdict(job, row.end));
    if (!job.record.gone) await job.insist({ gone: true });
  }

  /** The batch system's verdict, corrected where it knows less than the job directory, with the words of a runner that never began. */
  async #verdict(job: PodJob, end: BatchEnd): Promise<BatchEnd> {
    const { files } = this.#deps;
    if (end.exitCode === 0 && (await files.isClaimed(job.uid)))
      return {
        exitCode: LOST_EXIT_CODE,
        containerReason: 'Error',
        podReason: JOB_LOST,
        message: `${end.message}, but its runner never recorded the end of the containers; see runner.log in the job directory`,
      };
    if (job.lastSeq > 0 || end.exitCode === 0) return end;
    const complaint = await files.complaint(job.uid);
    return complaint === '' ? end : { ...end, message: `${end.message}: ${complaint}` };
  }

  /** Gives a job whose submission had no clear outcome its id, if the queue shows it. */
  async #adopt(job: PodJob, rows: readonly BatchJob[]): Promise<boolean> {
    const candidates = rows.filter((row) => !row.refused).toSorted(byStart);
    const first = candidates[0];
    if (!first) return false;
    this.#deps.logger.info('job found in the queue', { podUid: job.uid, jobId: first.jobId });
    await job.confirmSubmission(first.jobId);
    await this.#seen(job, first);
    await this.#removeDuplicates(job, candidates);
    return true;
  }

  async #removeDuplicates(job: PodJob, rows: readonly BatchJob[]): Promise<void> {
    const { known } = job;
    if (!known) return;
    for (const row of rows) {
      if (row.jobId === known.jobId || row.phase === 'ended' || row.phase === 'unknown') continue;
      this.#deps.logger.warn('second job of a pod is cancelled', {
        podUid: job.uid,
        jobId: row.jobId,
        keptJobId: known.jobId,
      });
      await this.#deps.system.cancel({ ...known, jobId: row.jobId }, false, this.#deps.signal);
    }
  }

  /** Decides about jobs that a complete listing did not show. */
  async #lookUp(missing: readonly PodJob[], startedMs: number): Promise<void> {
    const { system, signal, logger } = this.#deps;
    const settled = missing.filter(
      (job) => job.known || startedMs - (job.doubtSinceMs ?? startedMs) >= this.#options.settleMs,
    );
    const doubtful = settled.filter((job) => !job.over);
    let rows: readonly BatchJob[] = [];
    if (doubtful.length > 0)
      try {
        const known = doubtful.map((job) => job.known ?? { ...this.#placeholder(job) });
        rows = (await system.lookUp(known, signal)) ?? [];
      } catch (error) {
        signal.throwIfAborted();
        // Accounting exists and does not answer: nothing may be concluded now.
        logger.warn('accounting does not answer', { err: messageOf(error) });
        return;
      }
    const byUid = Map.groupBy(rows, (row) => row.uid ?? '');
    for (const job of settled) {
      const found = byUid.get(job.uid) ?? [];
      await this.#guarded(job, () =>
        job.known === undefined
          ? this.#settle(job, found)
          : this.#missing(
              job,
              found.find((row) => row.jobId === job.known?.jobId),
              startedMs,
            ),
      );
    }
  }

  /** One pod's trouble (an unreadable directory, a cancel that fails) must not keep the others from their news; the next poll tries again. */
  async #guarded(job: PodJob, action: () => Promise<void>): Promise<void> {
    try {
      await action();
    } catch (error) {
      this.#deps.signal.throwIfAborted();
      this.#deps.logger.warn('state of a job could not be taken up', { podUid: job.uid, err: messageOf(error) });
    }
  }

  async #missing(job: PodJob, row: BatchJob | undefined, startedMs: number): Promise<void> {
    if (row?.phase === 'ended') return this.#ended(job, row);
    if (!job.over) await job.readRecords();
    if (job.over) return job.insist({ gone: true });
    if (job.connected || row) return;
    job.missingSinceMs ??= startedMs;
    const missingMs = startedMs - job.missingSinceMs;
    // A job that was to end, or whose runner has told its end, is gone when two good polls in a row do not show it; one could come from a controller that
    // has just failed over.
    if (missingMs < (job.record.stop || job.hasLastWord ? 1 : this.#options.lostGraceMs)) return;
    const { jobId } = job.record;
    const accounting = 'neither the queue nor accounting nor its runner';
    await job.endByBatch({
      exitCode: LOST_EXIT_CODE,
      containerReason: 'Error',
      podReason: JOB_LOST,
      message: `job ${jobId}: ${accounting} has known of it for ${Math.round(missingMs / 1000)} s${job.batch ? ` (last state ${job.batch.state})` : ''}`,
    });
    await job.insist({ gone: true });
  }

  /** Ends the doubt about a submission: the job ran, or it never existed and is submitted again. */
  async #settle(job: PodJob, found: readonly BatchJob[]): Promise<void> {
    if (await this.#adopt(job, found)) return;
    const { files, submitter, logger } = this.#deps;
    if (await files.isClaimed(job.uid)) {
      logger.warn('job ran and nobody knows its id', { podUid: job.uid });
      await job.confirmSubmission('unknown');
      return;
    }
    logger.info('submission left no job and is repeated', { podUid: job.uid });
    await job.denySubmission();
    submitter.enqueue(job);
  }

  #placeholder(job: PodJob) {
    const { uid, record } = job;
    return {
      uid,
      jobId: '',
      directory: this.#deps.files.directory(uid),
      stopping: false,
      submittedMs: record.createdMs,
    };
  }

  /** Jobs with our tag of which there is no record: those of forgotten pods are removed, others reported and left to the policy. */
  async #inspectOrphans(rows: readonly BatchJob[]): Promise<void> {
    const { find, isTombstone, logger, clock, system, files, signal } = this.#deps;
    const { cancel, graceMs } = this.#options.orphans;
    const present = new Set<string>();
    for (const row of rows) {
      const { uid, jobId } = row;
      if (uid === undefined || row.phase === 'ended' || row.phase === 'unknown' || find(uid)) continue;
      present.add(jobId);
      const orphan = { uid, jobId, directory: files.directory(uid), stopping: true, submittedMs: 0 };
      const known = this.#orphans.get(jobId);
      const { sinceMs } = known ?? { sinceMs: clock.monotonicMs() };
      if (!known) {
        this.#orphans.set(jobId, { sinceMs });
        logger.warn('job without a record', { jobId, podUid: uid, state: row.state, deletedPod: isTombstone(uid) });
      }
      if (isTombstone(uid) || (cancel && clock.monotonicMs() - sinceMs >= graceMs)) {
        logger.warn('job without a record is cancelled', { jobId, podUid: uid });
        await system.cancel(orphan, false, signal);
      }
    }
    for (const jobId of this.#orphans.keys()) if (!present.has(jobId)) this.#orphans.delete(jobId);
  }
}

/** Started jobs first, then by age, as ids count up. */
function byStart(a: BatchJob, b: BatchJob): number {
  const rank = (row: BatchJob): number => (row.phase === 'pending' ? 1 : 0);
  return (
    rank(a) - rank(b) || Number.parseInt(a.jobId, 10) - Number.parseInt(b.jobId, 10) || (a.jobId < b.jobId ? -1 : 1)
  );
}
