import type { Clock } from '../../base/clock.ts';
import { messageOf } from '../../base/errors.ts';
import type { Logger } from '../../base/logger.ts';
import type { JobDirectory, RunnerRecord, RunnerStatus } from '../../contract/job-directory.ts';
import { MAX_EVENTS, type PodEvent, type PodStatus } from '../../contract/pod-status.ts';
import type { BatchEnd, BatchJob, KnownJob } from './batch-system.ts';
import { composeStatus } from './compose-status.ts';
import { type EndFacts, endedByBatch, endedByRunner, isUnexplained } from './final-status.ts';
import type { JobRecord } from './job-record.ts';
import type { Journal } from './journal.ts';
import { RecordReader } from './record-reader.ts';

const RETRY_MS = 1_000;

export interface PodJobDeps {
  readonly journal: Journal;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly directory: JobDirectory;
  /** Called with each new status, in order. */
  readonly publish: (status: PodStatus) => void;
  /** Aborts when the sidecar stops. */
  readonly signal: AbortSignal;
}

/**
 * What is known of one pod, and the rules by which it changes: a runner's record beats accounting, accounting beats the queue, and the end is
 * final. Statuses are published only when they differ from the one before.
 */
export class PodJob {
  readonly #deps: PodJobDeps;
  readonly #reader: RecordReader;
  readonly #listeners = new Set<() => void>();
  #record: JobRecord;
  #runner: RunnerStatus | undefined;
  /** The end that the runner told without knowing its cause. */
  #lastWord: RunnerStatus | undefined;
  #events: readonly PodEvent[] = [];
  #lastSeq = 0;
  #published = '';
  #doubt: { readonly evidence: string; readonly sinceMs: number } | undefined;
  #ending: Promise<void> | undefined;
  /** Records are taken up one after the other, whichever way they come. */
  #queue: Promise<void> = Promise.resolve();

  /** What the batch system said last. */
  batch: BatchJob | undefined;
  /** Monotonic time since which good polls do not show the job. */
  missingSinceMs: number | undefined;
  /** Monotonic time at which the batch system first showed the end of a job whose runner has not told it. */
  endSeenMs: number | undefined;
  /** Whether the runner holds the live channel. */
  connected = false;
  /** Settles with the job id, or with the reason why there will be none. */
  readonly submitted = Promise.withResolvers<string>();

  constructor(record: JobRecord, deps: PodJobDeps) {
    this.#record = record;
    this.#deps = deps;
    this.#reader = new RecordReader(deps.directory.events);
    // Nobody may be waiting when it fails; those who are get the error.
    this.submitted.promise.catch(() => {});
    if (record.jobId !== undefined) this.submitted.resolve(record.jobId);
  }

  get uid(): string {
    return this.#record.uid;
  }

  get record(): JobRecord {
    return this.#record;
  }

  get lastSeq(): number {
    return this.#lastSeq;
  }

  /** Whether the final status is known. */
  get over(): boolean {
    return this.#record.state === 'ended';
  }

  /** Whether the runner is known to have begun or the batch system to have started it. */
  get started(): boolean {
    return this.#runner !== undefined || this.batch?.phase === 'running';
  }

  /** Whether the runner has told the end and only the batch system can tell its cause. */
  get hasLastWord(): boolean {
    return this.#lastWord !== undefined;
  }

  /** Why nobody knows whether the job was submitted; undefined when that is known or under way. */
  get doubt(): string | undefined {
    return this.#doubt?.evidence;
  }

  /** Monotonic time since which {@link doubt} is there. */
  get doubtSinceMs(): number | undefined {
    return this.#doubt?.sinceMs;
  }

  /** The outcome of a submission is unknown. */
  doubtSubmission(evidence: string): void {
    this.#doubt = { evidence, sinceMs: this.#deps.clock.monotonicMs() };
    this.announce();
  }

  /** There is no job: it may be submitted again. Resolves when that is durable. */
  async denySubmission(): Promise<void> {
    await this.insist({ state: 'accepted' });
    this.#doubt = undefined;
  }

  /** The job has this id. Its runner may have ended the pod before anybody knew. Resolves when that is durable. */
  async confirmSubmission(jobId: string): Promise<void> {
    const { final } = this.#record;
    await this.insist({
      jobId,
      submittedMs: this.#deps.clock.nowMs(),
      ...(final ? { final: { ...final, jobId } } : { state: 'submitted' }),
    });
    this.#doubt = undefined;
    this.submitted.resolve(jobId);
  }

  /** The job as the batch system needs it; undefined while it has no id. */
  get known(): KnownJob | undefined {
    const { uid, jobId, stop, submittedMs = 0 } = this.#record;
    if (jobId === undefined) return undefined;
    return { uid, jobId, directory: this.#deps.directory, stopping: stop !== undefined, submittedMs };
  }

  status(): PodStatus {
    return (
      this.#record.final ??
      composeStatus({ record: this.#record, runner: this.#runner, events: this.#events, batch: this.batch })
    );
  }

  /** Publishes the status if it has changed, and wakes whoever waits for a change. */
  announce(): void {
    const status = this.status();
    const text = JSON.stringify(status);
    if (text !== this.#published) {
      this.#published = text;
      this.#deps.publish(status);
    }
    for (const listener of this.#listeners) listener();
  }

  /** Calls `listener` after each change; returns how to stop that. */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Replaces fields of the record; resolves when that is durable, rejects as `Journal.put` with the record as it was. */
  async update(change: Partial<JobRecord>): Promise<void> {
    const before = this.#record;
    const after = { ...before, ...change };
    this.#record = after;
    try {
      await this.#deps.journal.put(after);
    } catch (error) {
      if (this.#record === after) this.#record = before;
      throw error;
    }
    this.announce();
  }

  /** As {@link update} for what has already happened outside: repeated until it is durable or the sidecar stops. */
  async insist(change: Partial<JobRecord>): Promise<void> {
    for (;;) {
      try {
        await this.update(change);
        return;
      } catch (error) {
        this.#deps.signal.throwIfAborted();
        this.#deps.logger.error('journal refuses a record', { podUid: this.uid, err: messageOf(error) });
        await this.#deps.clock.sleep(RETRY_MS, { signal: this.#deps.signal });
      }
    }
  }

  /** Takes up a record that came over the channel; what was missed between comes from the file. */
  receive(record: RunnerRecord): Promise<void> {
    return this.#inTurn(async () => {
      if (record.seq > this.#lastSeq + 1) await this.#readFile();
      await this.#take(record);
    });
  }

  /** Takes up the records that are new in the job directory. */
  readRecords(): Promise<void> {
    return this.#inTurn(() => this.#readFile());
  }

  /** Ends the pod by the batch system's verdict unless its end is known already. */
  endByBatch(end: BatchEnd): Promise<void> {
    return this.#inTurn(async () => {
      const facts = this.#endFacts(this.#runner);
      await this.#end(this.#lastWord ? endedByRunner(facts, this.#lastWord, end) : endedByBatch(facts, end));
    });
  }

  async #readFile(): Promise<void> {
    for (const record of await this.#reader.read()) await this.#take(record);
  }

  async #take(record: RunnerRecord): Promise<void> {
    if (record.seq <= this.#lastSeq || this.over) return;
    this.#lastSeq = record.seq;
    if (record.events.length > 0) this.#events = [...this.#events, ...record.events].slice(-MAX_EVENTS);
    this.missingSinceMs = undefined;
    if (isUnexplained(record.status) && !this.#record.stop) {
      // The batch system shows the end of the job with its cause soon; until then the pod is what it was.
      this.#lastWord = record.status;
      return;
    }
    this.#runner = record.status;
    if (record.status.sandbox !== 'Gone') return this.announce();
    await this.#end(endedByRunner(this.#endFacts(record.status), record.status));
  }

  #endFacts(runner: RunnerStatus | undefined): EndFacts {
    return {
      record: this.#record,
      runner,
      events: this.#events,
      timeLimitSeconds: this.batch?.timeLimitSeconds,
      nowMs: this.#deps.clock.nowMs(),
    };
  }

  async #end(final: PodStatus): Promise<void> {
    if (this.over) return;
    // Durable before anybody hears it: a terminal status must not change after a crash.
    this.#ending ??= this.insist({ state: 'ended', final, endedMs: this.#deps.clock.nowMs() });
    await this.#ending;
  }

  #inTurn(action: () => Promise<void>): Promise<void> {
    const turn = this.#queue.then(action);
    this.#queue = turn.catch(() => {});
    return turn;
  }
}
