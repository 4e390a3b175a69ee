import { hostname } from 'node:os';
import { resolve } from 'node:path';
import type { Clock } from '../base/clock.ts';
import {
  type JobSpec,
  jobDirectory,
  type RunnerRecord,
  type RuntimeSettings,
  type StopRequest,
  UNEXPLAINED_END,
} from '../contract/job-directory.ts';
import { podRefOf } from '../contract/pod-ref.ts';
import { Channel } from './channel.ts';
import { claimJob } from './claim-job.ts';
import type { ContainerRuntime } from './container-runtime.ts';
import type { RuntimeContext } from './create-runtime.ts';
import { createFileLogger } from './file-logger.ts';
import { JobContents } from './job-contents.ts';
import { type PodFields, PodRecorder } from './pod-recorder.ts';
import { PullSecrets } from './pull-secrets.ts';
import { readJobSpec } from './read-job-spec.ts';
import { RecordLog } from './record-log.ts';
import { recordPodGone } from './record-pod-gone.ts';
import { runPod } from './run-pod.ts';
import { serveLogs } from './serve-logs.ts';
import { StopControl } from './stop-control.ts';
import { readStopRequest, remainingGraceSeconds } from './stop-request.ts';

export interface RunJobDeps {
  readonly clock: Clock;
  /** Makes the runtime that the site chose: `createRuntime`, but for tests. */
  readonly createRuntime: (
    settings: RuntimeSettings,
    context: RuntimeContext,
  ) => ContainerRuntime | Promise<ContainerRuntime>;
  /** The job's own environment; runtimes take what pulls and containers need of it, and nothing else. */
  readonly environment: Readonly<Record<string, string>>;
  /** Calls the listener on each SIGTERM to this process, until the returned function is called. */
  readonly onTerminate: (listener: () => void) => () => void;
}

const DEFAULT_GRACE_SECONDS = 30;
/** How long the end of the job waits for the last records to reach the sidecar. */
const CHANNEL_CLOSE_MS = 2_000;
/** The channel is opened once the first container has a state, or after this time: an image may take long, and the wish to stop comes this way. */
const CHANNEL_AFTER_MS = 300;
/** A batch system may announce its time limit up to a minute early, and the grace comes before that. */
const TIME_LIMIT_MARGIN_SECONDS = 90;
const FAILURE = 1;

/**
 * Runs the pod of a job directory to its end and writes what happens to `events.ndjson`; the whole of `interlink runner`. At most one call per directory
 * ever starts user code; every other one returns 0 at once. SIGTERM and the channel's word end the pod with its grace.
 *
 * @returns the exit code for the process: that of the container that failed first, 1 when the pod failed as a whole, else 0
 * @throws NotFound or Invalid when the directory holds no job
 */
export async function runJob(root: string, deps: RunJobDeps): Promise<number> {
  const { clock } = deps;
  // Batch scripts say `.`; containers have other working directories.
  const directory = jobDirectory(resolve(root));
  const spec = await readJobSpec(directory);
  using logger = createFileLogger(directory.runnerLog, clock);
  // Its code is loaded while the claim is written. It does nothing before it is asked to.
  const context = { directory, clock, logger, environment: deps.environment };
  const runtime = Promise.try(() => deps.createRuntime(spec.runtime, context));
  // Whoever runs the pod tells what is wrong with it; a runner that comes second has no use for it.
  runtime.catch(() => {});
  if (!(await claimJob(directory, clock.nowMs()))) {
    logger.warn('another runner has taken this job; nothing is started', { host: hostname(), pid: process.pid });
    return 0;
  }
  await using cleanup = new AsyncDisposableStack();
  const records = await RecordLog.open(directory, logger);
  cleanup.defer(() => records.close());
  const stop = new StopControl(clock);
  cleanup.defer(() => stop.close());
  const { pod } = spec.bundle;
  const graceSeconds =
    pod.metadata?.deletionGracePeriodSeconds ?? pod.spec?.terminationGracePeriodSeconds ?? DEFAULT_GRACE_SECONDS;
  const startedMs = clock.monotonicMs();
  let isTerminated = false;
  let isRequested = false;
  const onStop = (request: StopRequest): void => {
    isRequested = true;
    logger.info('stop requested', { reason: request.reason, graceSeconds: request.gracePeriodSeconds });
    stop.request(remainingGraceSeconds(request, clock));
  };
  const onTerminate = async (): Promise<void> => {
    const request = await readStopRequest(directory, logger);
    if (request !== undefined) return onStop(request);
    logger.info('asked to end by SIGTERM', { graceSeconds });
    // A pod that is ending already does so for a cause of its own.
    isTerminated ||= !stop.signal.aborted;
    stop.request(graceSeconds);
  };
  cleanup.defer(deps.onTerminate(() => void onTerminate()));

  const firstState = new AbortController();
  const append = (record: RunnerRecord): void => {
    records.append(record);
    if (record.status.podIP !== undefined || record.status.sandbox === 'Gone') firstState.abort();
  };
  const recorder = new PodRecorder(pod, { clock, nodeName: hostname(), append });
  const contents = new JobContents({ directory, clock, logger });
  const channel =
    spec.channel &&
    new Channel({
      settings: spec.channel,
      podUid: podRefOf(pod).uid,
      records,
      clock,
      logger,
      // Rejects when there is nothing to wait for any more.
      after: clock.sleep(CHANNEL_AFTER_MS, { signal: firstState.signal }).catch(() => {}),
      onStop,
      onVolumes: (revision) => contents.announce(revision),
      serve: (request, signal) =>
        serveLogs(request, signal, { directory, clock, statusOf: (name) => recorder.find(name) }),
    });
  const pullSecrets = await PullSecrets.take(directory, spec, logger);
  const end = await runPod({
    spec,
    directory,
    pullSecrets,
    contents,
    recorder,
    stop,
    graceSeconds,
    logger,
    clock,
    runtime,
    environment: deps.environment,
  });
  const wasTold = isRequested || (await readStopRequest(directory, logger)) !== undefined;
  const seconds = (clock.monotonicMs() - startedMs) / 1000;
  const failure =
    end.failure ??
    (isTerminated && !wasTold && !end.isOverdue ? terminatedFailure(spec, seconds + graceSeconds) : undefined);
  recordPodGone(pod, recorder, failure ?? {});
  await records.flush();
  await channel?.close(CHANNEL_CLOSE_MS);
  return end.exitCode !== 0 ? end.exitCode : failure === undefined && !end.isOverdue ? 0 : FAILURE;
}

/** Why a pod failed that nobody asked to end: its job ran into the time limit, or the batch system took the worker back. */
function terminatedFailure({ timeLimitSeconds }: JobSpec, elapsedSeconds: number): PodFields {
  return timeLimitSeconds !== undefined && elapsedSeconds + TIME_LIMIT_MARGIN_SECONDS >= timeLimitSeconds
    ? {
        phase: 'Failed',
        reason: 'DeadlineExceeded',
        message: `The job reached its time limit of ${timeLimitSeconds} s in the batch system`,
      }
    : {
        phase: 'Failed',
        reason: UNEXPLAINED_END,
        message: 'The batch system ended the job (SIGTERM) although nobody had deleted the pod',
      };
}
