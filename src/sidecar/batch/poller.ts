import { Backoff } from '../../base/backoff.ts';
import type { Clock } from '../../base/clock.ts';
import { messageOf } from '../../base/errors.ts';
import type { Logger } from '../../base/logger.ts';
import type { BatchSystem, JobListing } from './batch-system.ts';
import type { PodJob } from './pod-job.ts';
import { WakeUp } from './wake-up.ts';

/** A queue that takes long to answer is asked less often: it is busy for at most this part of the time. */
const BUSY_PART = 4;
const MAX_BACKOFF_MS = 300_000;
const IDLE_MS = 3_600_000;

export interface PollerDeps {
  readonly system: BatchSystem;
  readonly jobs: () => Iterable<PodJob>;
  /** Takes up what a good poll said. `asked` are the jobs that existed before the question, so that absence can mean something. */
  readonly judge: (listing: JobListing, asked: readonly PodJob[], startedMs: number) => Promise<void>;
  readonly clock: Clock;
  readonly logger: Logger;
}

export interface PollerOptions {
  readonly intervalMs: number;
  /** Least time between two questions when somebody cannot wait for the interval. */
  readonly soonMs: number;
}

/** Asks the batch system about all jobs at once: one question per interval, never two at a time, none while nothing is open. */
export class Poller {
  readonly #deps: PollerDeps;
  readonly #options: PollerOptions;
  readonly #wakeUp: WakeUp;
  readonly #backoff: Backoff;
  #nextMs = 0;
  #lastMs = Number.NEGATIVE_INFINITY;
  #failing = false;
  #idle = false;
  #polling = false;
  /** Whether somebody asked for an early question while one was under way, whose answer may be too old for them. */
  #again = false;
  /** Once at start the queue is asked even without jobs: it may hold some that nobody remembers. */
  #first = true;

  constructor(deps: PollerDeps, options: PollerOptions) {
    this.#deps = deps;
    this.#options = options;
    this.#wakeUp = new WakeUp(deps.clock);
    this.#backoff = new Backoff({ initialMs: options.intervalMs, maxMs: Math.max(MAX_BACKOFF_MS, options.intervalMs) });
  }

  /** Brings the next question forward, unless the batch system does not answer anyway. */
  soon(): void {
    if (this.#polling) this.#again = true;
    else if (!this.#failing) {
      const earliest = this.#lastMs + this.#options.soonMs;
      this.#nextMs = Math.min(this.#nextMs, Math.max(earliest, this.#deps.clock.monotonicMs()));
    }
    this.#wakeUp.wake();
  }

  /** Tells that there is a job now. After a time without any the first question comes when the scheduler has had a moment to look at it. */
  notice(): void {
    if (this.#idle) this.#nextMs = Math.max(this.#nextMs, this.#deps.clock.monotonicMs() + this.#options.soonMs);
    this.#wakeUp.wake();
  }

  async run(signal: AbortSignal): Promise<void> {
    const { clock } = this.#deps;
    for (;;) {
      signal.throwIfAborted();
      this.#idle = !this.#first && !this.#hasQuestions();
      const waitMs = this.#nextMs - clock.monotonicMs();
      if (this.#idle) await this.#wakeUp.wait(IDLE_MS, signal);
      else if (waitMs > 0) await this.#wakeUp.wait(waitMs, signal);
      else await this.#pollOnce(signal);
    }
  }

  #hasQuestions(): boolean {
    for (const job of this.#deps.jobs()) if (isOpen(job)) return true;
    return false;
  }

  async #pollOnce(signal: AbortSignal): Promise<void> {
    this.#polling = true;
    this.#again = false;
    try {
      await this.#poll(signal);
    } finally {
      this.#polling = false;
    }
    if (this.#again) this.soon();
  }

  async #poll(signal: AbortSignal): Promise<void> {
    const { system, clock, logger, judge } = this.#deps;
    const startedMs = clock.monotonicMs();
    this.#lastMs = startedMs;
    this.#first = false;
    const asked = [...this.#deps.jobs()].filter(isOpen);
    let listing: JobListing;
    try {
      listing = await system.list(
        asked.flatMap((job) => job.known ?? []),
        signal,
      );
    } catch (error) {
      signal.throwIfAborted();
      if (!this.#failing) logger.warn('batch system does not answer; pods keep their state', { err: messageOf(error) });
      this.#failing = true;
      this.#nextMs = clock.monotonicMs() + this.#backoff.next();
      return;
    }
    if (this.#failing) logger.info('batch system answers again');
    this.#failing = false;
    this.#backoff.reset();
    const tookMs = clock.monotonicMs() - startedMs;
    this.#nextMs = startedMs + Math.max(this.#options.intervalMs, BUSY_PART * tookMs);
    await judge(listing, asked, startedMs);
  }
}

/** Whether the batch system has something to tell about the job. */
function isOpen(job: PodJob): boolean {
  return (job.known !== undefined && !job.record.gone) || job.doubt !== undefined;
}
