import type { Clock } from '../../base/clock.ts';
import { messageOf } from '../../base/errors.ts';
import type { Logger } from '../../base/logger.ts';
import type { PodJob } from './pod-job.ts';

export interface RecordSweepDeps {
  readonly jobs: () => Iterable<PodJob>;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** Reads of job directories at a time: a network file system answers each in about a millisecond, and Node has four threads for them. */
const PARALLEL = 8;

/**
 * Reads the records of runners that hold no live channel, once per interval. It is a loop of its own, so that a batch system that hangs does not
 * hide what the runners have written.
 */
export async function runRecordSweep(deps: RecordSweepDeps, intervalMs: number, signal: AbortSignal): Promise<void> {
  const broken = new Set<string>();
  for (;;) {
    await deps.clock.sleep(intervalMs, { signal });
    const jobs = [...deps.jobs()].filter((job) => job.known && !job.over && !job.connected);
    const read = async (): Promise<void> => {
      for (let job = jobs.pop(); job; job = jobs.pop())
        try {
          await job.readRecords();
          broken.delete(job.uid);
        } catch (error) {
          signal.throwIfAborted();
          if (!broken.has(job.uid))
            deps.logger.warn('records of a runner cannot be read', { podUid: job.uid, err: messageOf(error) });
          broken.add(job.uid);
        }
    };
    await Promise.all(Array.from({ length: PARALLEL }, read));
  }
}
