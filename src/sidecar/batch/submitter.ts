import type { Clock } from '../../base/clock.ts';
import { InterlinkError, messageOf } from '../../base/errors.ts';
import type { Logger } from '../../base/logger.ts';
import type { BatchEnd, BatchSystem, SubmitOutcome } from './batch-system.ts';
import type { Failpoints } from './failpoints.ts';
import type { JobFiles } from './job-files.ts';
import type { PodJob } from './pod-job.ts';
import { Turns } from './turns.ts';

export interface SubmitterDeps {
  readonly system: BatchSystem;
  readonly files: JobFiles;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly failpoint: Failpoints;
  readonly signal: AbortSignal;
  /** Lets the queue be asked soon, because something cannot wait for the interval. */
  readonly pollSoon: () => void;
  /** Called when a job has its id, so that it is asked about. */
  readonly onSubmitted: () => void;
  /** Forgets a pod that the batch system refused: its record, its directory, its place in the table. */
  readonly forget: (job: PodJob) => Promise<void>;
  /** Receives what no caller could be told. */
  readonly onFailure: (error: unknown) => void;
}

/** Intents that may be written ahead for each command that may run. */
const AHEAD = 4;

/** Verdict for a pod whose end was asked for before it was submitted. */
const NOT_SUBMITTED: BatchEnd = {
  exitCode: 137,
  containerReason: 'ContainerStatusUnknown',
  message: 'the pod was deleted before its job was submitted',
};

/** Runs the submit commands: a few at a time, each after its intent is durable, and never twice for a pod without asking the queue first. */
export class Submitter {
  readonly #deps: SubmitterDeps;
  readonly #concurrency: number;
  readonly #commands: Turns;
  readonly #waiting: PodJob[] = [];
  /** Jobs whose intent is being written or whose command waits for its turn. */
  #ahead = 0;

  constructor(deps: SubmitterDeps, concurrency: number) {
    this.#deps = deps;
    this.#concurrency = concurrency;
    this.#commands = new Turns(concurrency);
  }

  /** Takes a job whose record is `accepted`; the outcome shows in `job.submitted`. */
  enqueue(job: PodJob): void {
    this.#waiting.push(job);
    this.#pump();
  }

  /** Ends a job that was to be deleted and whose intent is not written yet; others are ended in their course. */
  withdraw(job: PodJob): void {
    const place = this.#waiting.indexOf(job);
    if (place < 0) return;
    this.#waiting.splice(place, 1);
    this.#drop(job).catch((error: unknown) => {
      if (!this.#deps.signal.aborted) this.#deps.onFailure(error);
    });
  }

  /** Intents are written ahead of the commands, so that these do not wait for the disk and intents share commits. */
  #pump(): void {
    while (this.#ahead < this.#concurrency * AHEAD && !this.#deps.signal.aborted) {
      const job = this.#waiting.shift();
      if (!job) return;
      this.#ahead += 1;
      let isAhead = true;
      const leave = (): void => {
        if (isAhead) this.#ahead -= 1;
        isAhead = false;
        this.#pump();
      };
      void this.#submit(job, leave)
        .catch((error: unknown) => {
          if (!this.#deps.signal.aborted) this.#deps.onFailure(error);
        })
        .finally(leave);
    }
  }

  async #submit(job: PodJob, leave: () => void): Promise<void> {
    const { logger, clock, failpoint, signal } = this.#deps;
    if (job.record.stop) return this.#drop(job);
    const attempt = job.record.attempt + 1;
    await job.insist({ state: 'submitting', attempt });
    await failpoint('intent-written');
    let outcome: SubmitOutcome | undefined;
    let startedMs = 0;
    try {
      outcome = await this.#commands.take(async () => {
        leave();
        startedMs = clock.monotonicMs();
        return job.record.stop ? undefined : await this.#run(job);
      });
    } catch (error) {
      signal.throwIfAborted();
      return this.#refuse(job, error);
    }
    // Deleted while it waited for its turn.
    if (!outcome) return this.#drop(job);
    await failpoint('command-done');
    const fields = { podUid: job.uid, attempt, durationMs: Math.round(clock.monotonicMs() - startedMs) };
    if (outcome.kind === 'unknown') {
      logger.warn('outcome of a submission is unknown; the queue will be asked', {
        ...fields,
        evidence: outcome.evidence,
      });
      job.doubtSubmission(outcome.evidence);
      this.#deps.pollSoon();
      return;
    }
    await job.confirmSubmission(outcome.jobId);
    await failpoint('id-written');
    logger.info('job submitted', { ...fields, jobId: outcome.jobId });
    this.#deps.onSubmitted();
    if (job.record.stop) this.#deps.pollSoon();
  }

  #run(job: PodJob): Promise<SubmitOutcome> {
    const { system, files, signal } = this.#deps;
    const { uid, record } = job;
    signal.throwIfAborted();
    return system.submit({ uid, directory: files.directory(uid), script: files.script, plan: record.plan }, signal);
  }

  async #refuse(job: PodJob, error: unknown): Promise<void> {
    this.#deps.logger.warn('submission refused', { podUid: job.uid, err: messageOf(error) });
    if (job.record.stop) return this.#drop(job);
    await this.#deps.forget(job);
    job.submitted.reject(error);
  }

  async #drop(job: PodJob): Promise<void> {
    await job.endByBatch(NOT_SUBMITTED);
    await job.insist({ gone: true });
    const { namespace, name } = job.record;
    job.submitted.reject(
      new InterlinkError('Conflict', `pod ${namespace}/${name} was deleted before its job was submitted`, {
        code: 'sidecar.deleted',
      }),
    );
  }
}
