import type { Clock } from '../../base/clock.ts';
import { InterlinkError, messageOf } from '../../base/errors.ts';
import type { Logger } from '../../base/logger.ts';
import type { BatchEnd, BatchSystem } from './batch-system.ts';
import type { Failpoints } from './failpoints.ts';
import type { JobFiles } from './job-files.ts';
import type { PodJob } from './pod-job.ts';

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
  readonly #waiting: PodJob[] = [];
  #running = 0;

  constructor(deps: SubmitterDeps, concurrency: number) {
    this.#deps = deps;
    this.#concurrency = concurrency;
  }

  /** Takes a job whose record is `accepted`; the outcome shows in `job.submitted`. */
  enqueue(job: PodJob): void {
    this.#waiting.push(job);
    this.#pump();
  }

  #pump(): void {
    while (this.#running < this.#concurrency && !this.#deps.signal.aborted) {
      const job = this.#waiting.shift();
      if (!job) return;
      this.#running += 1;
      void this.#submit(job)
        .catch((error: unknown) => {
          if (!this.#deps.signal.aborted) this.#deps.onFailure(error);
        })
        .finally(() => {
          this.#running -= 1;
          this.#pump();
        });
    }
  }

  async #submit(job: PodJob): Promise<void> {
    const { system, files, clock, logger, failpoint, signal } = this.#deps;
    if (job.record.stop) return this.#drop(job);
    const attempt = job.record.attempt + 1;
    await job.insist({ state: 'submitting', attempt });
    await failpoint('intent-written');
    let outcome: Awaited<ReturnType<BatchSystem['submit']>>;
    const startedMs = clock.monotonicMs();
    try {
      const { uid, record } = job;
      outcome = await system.submit(
        { uid, directory: files.directory(uid), script: files.script, plan: record.plan },
        signal,
      );
    } catch (error) {
      signal.throwIfAborted();
      return this.#refuse(job, error);
    }
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
