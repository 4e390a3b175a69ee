import type { Clock } from '../../base/clock.ts';
import { messageOf } from '../../base/errors.ts';
import type { Logger } from '../../base/logger.ts';
import type { JobFiles } from './job-files.ts';
import type { PodJob } from './pod-job.ts';
import { WakeUp } from './wake-up.ts';

export interface RetentionDeps {
  readonly jobs: () => Iterable<PodJob>;
  readonly files: JobFiles;
  /** Replaces the pod by its tombstone, durably, and tells the watchers. */
  readonly bury: (job: PodJob) => Promise<void>;
  /** Forgets tombstones that are older than anybody's late create. */
  readonly dropTombstones: (nowMs: number) => Promise<void>;
  readonly clock: Clock;
  readonly logger: Logger;
}

export interface RetentionOptions {
  /** Time that a deleted pod's logs and records are kept. */
  readonly retentionMs: number;
  readonly sweepMs: number;
}

/** Removes what is no longer needed: secrets once the job has left the batch system, everything after the retention of a deleted pod. */
export class Retention {
  readonly #deps: RetentionDeps;
  readonly #options: RetentionOptions;
  readonly #wakeUp: WakeUp;
  readonly #cleaned = new Set<string>();

  constructor(deps: RetentionDeps, options: RetentionOptions) {
    this.#deps = deps;
    this.#options = options;
    this.#wakeUp = new WakeUp(deps.clock);
  }

  async run(signal: AbortSignal): Promise<void> {
    for (;;) {
      await this.#sweep();
      await this.#wakeUp.wait(this.#options.sweepMs, signal);
    }
  }

  async #sweep(): Promise<void> {
    const { jobs, files, bury, dropTombstones, clock, logger } = this.#deps;
    const nowMs = clock.nowMs();
    for (const job of [...jobs()]) {
      const { gone, stop, endedMs = 0 } = job.record;
      if (!job.over || !gone) continue;
      try {
        if (!this.#cleaned.has(job.uid)) await files.removeSecrets(job.uid);
        this.#cleaned.add(job.uid);
        if (!stop || nowMs < Math.max(stop.requestedMs, endedMs) + this.#options.retentionMs) continue;
        await bury(job);
        this.#cleaned.delete(job.uid);
      } catch (error) {
        logger.warn('remains of a pod could not be removed and are tried again', {
          podUid: job.uid,
          err: messageOf(error),
        });
      }
    }
    await dropTombstones(nowMs);
  }
}
