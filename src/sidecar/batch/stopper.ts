import type { Clock } from '../../base/clock.ts';
import { messageOf } from '../../base/errors.ts';
import type { Logger } from '../../base/logger.ts';
import type { StopRequest } from '../../contract/job-directory.ts';
import type { BatchSystem } from './batch-system.ts';
import type { StopWish } from './job-record.ts';
import type { PodJob } from './pod-job.ts';
import { WakeUp } from './wake-up.ts';

export interface StopperDeps {
  readonly system: BatchSystem;
  /** Sends the request over the live channel; false when there is none. */
  readonly send: (uid: string, stop: StopRequest) => boolean;
  readonly pollSoon: () => void;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly signal: AbortSignal;
  readonly spawn: (work: Promise<void>) => void;
}

export interface StopperOptions {
  /** Time after the grace period that the runner has to write the end before the job is cancelled. */
  readonly marginMs: number;
}

/** Time that a runner told over the channel has to show it before the batch system signals it as well. */
const ANSWER_MS = 2_000;
/** Time between two attempts to cancel. */
const AGAIN_MS = 10_000;

/** Brings a pod to its end: by the runner within the grace period, then by the batch system, until that no longer holds the job. */
export class Stopper {
  readonly #deps: StopperDeps;
  readonly #options: StopperOptions;
  readonly #active = new Map<string, WakeUp>();

  constructor(deps: StopperDeps, options: StopperOptions) {
    this.#deps = deps;
    this.#options = options;
  }

  /** Begins, or takes up a shorter grace period of a pod that is being stopped. */
  begin(job: PodJob): void {
    const running = this.#active.get(job.uid);
    if (running) {
      running.wake();
      return;
    }
    const wakeUp = new WakeUp(this.#deps.clock);
    this.#active.set(job.uid, wakeUp);
    const stopListening = job.onChange(() => wakeUp.wake());
    this.#deps.spawn(
      this.#drive(job, wakeUp).finally(() => {
        stopListening();
        this.#active.delete(job.uid);
      }),
    );
  }

  async #drive(job: PodJob, wakeUp: WakeUp): Promise<void> {
    const { clock, signal, logger } = this.#deps;
    const steps: StopSteps = {
      told: undefined,
      toldMs: 0,
      signalled: false,
      triedPending: false,
      cancelledMs: Number.NEGATIVE_INFINITY,
    };
    while (!job.record.gone) {
      let waitMs = AGAIN_MS;
      try {
        waitMs = await this.#step(job, steps);
      } catch (error) {
        signal.throwIfAborted();
        logger.warn('stopping a job failed and is tried again', { podUid: job.uid, err: messageOf(error) });
      }
      await wakeUp.wait(waitMs, signal);
    }
    logger.info('pod stopped', { podUid: job.uid, afterMs: clock.nowMs() - (job.record.stop?.requestedMs ?? 0) });
  }

  /** Does what is due and tells after how many milliseconds to look again. */
  async #step(job: PodJob, steps: StopSteps): Promise<number> {
    const { system, clock, signal, pollSoon } = this.#deps;
    const { known } = job;
    const { stop } = job.record;
    // Without an id the submitter is at work, and wakes us.
    if (!known || !stop) return AGAIN_MS;
    const nowMs = clock.monotonicMs();
    if (nowMs - steps.cancelledMs < AGAIN_MS) {
      pollSoon();
      return AGAIN_MS;
    }
    const deadlineMs = stop.requestedMs + stop.gracePeriodSeconds * 1000 + this.#options.marginMs;
    const leftMs = Math.min(deadlineMs - clock.nowMs(), stop.gracePeriodSeconds * 1000 + this.#options.marginMs);
    if (job.over) {
      // The runner has ended the pod; the job leaves by itself in a moment.
      pollSoon();
      const { endedMs = 0 } = job.record;
      if (clock.nowMs() - endedMs < this.#options.marginMs) return this.#options.marginMs;
    } else if (!job.started && !steps.triedPending) {
      // What the last poll called pending may run by now: such a job is not touched here.
      await system.cancel(known, true, signal);
      steps.triedPending = true;
      this.#tell(job, stop, steps);
      pollSoon();
      return ANSWER_MS;
    } else if (leftMs > 0) {
      const heard = this.#tell(job, stop, steps);
      if (!steps.signalled && (!heard || nowMs - steps.toldMs >= ANSWER_MS)) {
        await system.terminate(known, signal);
        steps.signalled = true;
        pollSoon();
      }
      return steps.signalled ? leftMs : Math.min(leftMs, ANSWER_MS);
    }
    await system.cancel(known, false, signal);
    steps.cancelledMs = clock.monotonicMs();
    pollSoon();
    return AGAIN_MS;
  }

  /** Tells the runner over the channel, once per wish. */
  #tell(job: PodJob, stop: StopWish, steps: StopSteps): boolean {
    if (steps.told?.requestedMs === stop.requestedMs && steps.told.gracePeriodSeconds === stop.gracePeriodSeconds)
      return job.connected;
    if (!this.#deps.send(job.uid, stopRequest(stop))) return false;
    if (steps.told) steps.signalled = false;
    steps.told = stop;
    steps.toldMs = this.#deps.clock.monotonicMs();
    return true;
  }
}

interface StopSteps {
  told: StopWish | undefined;
  toldMs: number;
  signalled: boolean;
  triedPending: boolean;
  cancelledMs: number;
}

/** The wish as the runner reads it. */
export function stopRequest(stop: StopWish): StopRequest {
  return {
    gracePeriodSeconds: stop.gracePeriodSeconds,
    // With milliseconds: the grace period counts from here.
    requestedAt: new Date(stop.requestedMs).toISOString(),
    reason: 'Deleted',
  };
}
