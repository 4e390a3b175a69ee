import { rfc3339 } from '../../base/clock.ts';
import { type RunnerStatus, UNEXPLAINED_END } from '../../contract/job-directory.ts';
import type { PodEvent, PodStatus } from '../../contract/pod-status.ts';
import type { ContainerStatus } from '../../kube/types.ts';
import type { BatchEnd } from './batch-system.ts';
import { composeStatus, fromRunner } from './compose-status.ts';
import type { JobRecord } from './job-record.ts';

/** The kubelet's words for a container of which it has no record when its pod ends. */
const NEVER_LOCATED = {
  exitCode: 137,
  containerReason: 'ContainerStatusUnknown',
  message: 'The container could not be located when the pod was terminated',
} as const;

/** Seconds by which a batch system may warn earlier than asked: Slurm handles events once a minute. @see sbatch(1) --signal */
const EARLY_SECONDS = 60;
/** Seconds between the start of the job and that of its runner, with rounding. */
const START_SECONDS = 5;

/** `podReason` of a job of which nobody knows the end. */
export const JOB_LOST = 'JobLost';

/** Whether the runner has told the end of a pod that the batch system ended without saying why. */
export function isUnexplained({ sandbox, reason }: RunnerStatus): boolean {
  return sandbox === 'Gone' && reason === UNEXPLAINED_END;
}

/** What is known when a job has ended. */
export interface EndFacts {
  readonly record: JobRecord;
  readonly runner: RunnerStatus | undefined;
  readonly events: readonly PodEvent[];
  /** Time limit as the batch system showed it: where the pod asked for none, the site's own. */
  readonly timeLimitSeconds?: number | undefined;
  /** Wall-clock time at which the end was seen. */
  readonly nowMs: number;
}

/**
 * The last status of a pod whose runner has told its end; says so when it was the batch system's time limit that ended it, and the batch system's own cause where
 * the runner knows none.
 */
export function endedByRunner(facts: EndFacts, runner: RunnerStatus, end?: BatchEnd): PodStatus {
  const status = fromRunner(facts, runner);
  if (isUnexplained(runner) && end?.podReason !== undefined && end.podReason !== JOB_LOST)
    return { ...status, reason: end.podReason, message: end.message };
  const { timeLimitSeconds, warningSeconds } = facts.record.plan;
  const limit = timeLimitSeconds ?? facts.timeLimitSeconds;
  if (limit === undefined || facts.record.stop || status.phase) return status;
  const ranSeconds = (lastFinish(status, facts.nowMs) - Date.parse(runner.startTime)) / 1000;
  // Sidecars are told to end when the pod has completed: what they end with says nothing.
  const hasBegun = status.containers.some(({ state }) => state?.terminated !== undefined);
  const killed = (hasBegun ? status.containers : status.initContainers).some(
    ({ state }) => [137, 143].includes(state?.terminated?.exitCode ?? 0) && state?.terminated?.reason !== 'OOMKilled',
  );
  const early = START_SECONDS + (warningSeconds === undefined ? 0 : warningSeconds + EARLY_SECONDS);
  if (!killed || ranSeconds < limit - early) return status;
  return {
    ...status,
    phase: 'Failed',
    reason: 'DeadlineExceeded',
    message: `the job reached its time limit of ${limit} s in the batch system`,
  };
}

/**
 * The last status of a pod whose runner could not tell its end: what it did record stays, every container that was running or waiting gets
 * the batch system's verdict. With a stop wish and no runner the pod was removed before it started, which a kubelet shows in its own words.
 */
export function endedByBatch(facts: EndFacts, end: BatchEnd): PodStatus {
  const { record, runner, nowMs } = facts;
  const finishedAt = rfc3339(nowMs);
  const verdict = record.stop && !runner ? NEVER_LOCATED : end;
  const close = (status: ContainerStatus): ContainerStatus => {
    if (status.state?.terminated) return status;
    const startedAt = status.state?.running?.startedAt;
    return {
      ...status,
      ready: false,
      started: false,
      state: {
        terminated: {
          exitCode: verdict.exitCode,
          ...('signal' in verdict && verdict.signal !== undefined ? { signal: verdict.signal } : {}),
          reason: verdict.containerReason,
          message: verdict.message,
          ...(verdict === NEVER_LOCATED ? {} : { startedAt: startedAt ?? finishedAt, finishedAt }),
          ...(status.containerID === undefined ? {} : { containerID: status.containerID }),
        },
      },
    };
  };
  const base = composeStatus({ record, runner, events: facts.events, batch: undefined });
  const { reason: _reason, message: _message, ...rest } = base;
  return {
    ...rest,
    sandbox: 'Gone',
    ...(runner?.phase ? { phase: runner.phase } : {}),
    ...(runner?.reason === undefined ? {} : { reason: runner.reason }),
    ...(runner?.message === undefined ? {} : { message: runner.message }),
    ...(end.podReason === undefined || record.stop
      ? {}
      : { phase: 'Failed' as const, reason: end.podReason, message: end.message }),
    initContainers: base.initContainers.map(close),
    containers: base.containers.map(close),
  };
}

function lastFinish(status: PodStatus, nowMs: number): number {
  const times = [...status.initContainers, ...status.containers]
    .map(({ state }) => Date.parse(state?.terminated?.finishedAt ?? ''))
    .filter((ms) => !Number.isNaN(ms));
  return times.length === 0 ? nowMs : Math.max(...times);
}
