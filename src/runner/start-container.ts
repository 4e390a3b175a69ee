import { randomBytes } from 'node:crypto';
import { Backoff } from '../base/backoff.ts';
import { type Clock, rfc3339 } from '../base/clock.ts';
import { InterlinkError } from '../base/errors.ts';
import type { Logger } from '../base/logger.ts';
import type { JobDirectory } from '../contract/job-directory.ts';
import type { Container, ContainerState, Pod } from '../kube/types.ts';
import { containerFault } from './container-fault.ts';
import { ContainerLogWriter } from './container-log-writer.ts';
import { type PreparedContainer, prepareContainer } from './container-plan.ts';
import type { ContainerRuntime, ResolvedImage, RunningContainer } from './container-runtime.ts';
import type { PodNetwork } from './pod-network.ts';
import type { NewEvent, PodRecorder } from './pod-recorder.ts';
import type { PodVolume } from './pod-volumes.ts';
import type { PullSecrets } from './pull-secrets.ts';
import { resolveImage } from './resolve-image.ts';
import type { StopControl } from './stop-control.ts';

export interface StartContainerDeps {
  readonly directory: JobDirectory;
  readonly pod: Pod;
  readonly volumes: ReadonlyMap<string, PodVolume>;
  readonly network: PodNetwork;
  readonly runtime: ContainerRuntime;
  readonly pullSecrets: PullSecrets;
  readonly recorder: PodRecorder;
  readonly stop: StopControl;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** One attempt of a container of the spec. */
export interface ContainerToStart {
  readonly container: Container;
  /** `spec.containers{c}` or `spec.initContainers{i}`. */
  readonly fieldPath: string;
  /** 0 for the first; the number of restarts. */
  readonly attempt: number;
  /** How the attempt before ended. */
  readonly lastState: ContainerState;
  /** Called when it could not be started, before it is tried again. */
  readonly onFault: () => void;
}

/** One attempt that is under way. */
export interface StartedContainer extends PreparedContainer {
  readonly running: RunningContainer;
  readonly image: ResolvedImage;
  readonly log: ContainerLogWriter;
}

/** An attempt whose program could not be executed. */
export interface FailedStart {
  readonly image: ResolvedImage;
  readonly terminated: NonNullable<ContainerState['terminated']>;
}

/** Exit code of a program that could not be executed. */
const START_ERROR_EXIT_CODE = 128;

/** How long an image that cannot be fetched is shown as `ErrImagePull` before it becomes `ImagePullBackOff`. */
const PULL_ERROR_SHOWN_MS = 3_000;
/** A kubelet's image back-off. */
const RETRY = { initialMs: 10_000, maxMs: 300_000, jitter: 0 };

/**
 * Fetches the image, prepares the attempt and starts it. What keeps it from starting is shown as waiting and tried again for ever, as a kubelet does; only a
 * program that cannot be executed ends the attempt. Neither that nor the start is recorded here.
 *
 * @returns undefined when the pod was stopped before the container had started
 */
export async function startContainer(
  target: ContainerToStart,
  deps: StartContainerDeps,
): Promise<StartedContainer | FailedStart | undefined> {
  const { name, image = '' } = target.container;
  const { network, recorder, stop, clock, logger } = deps;
  const backoff = new Backoff(RETRY);
  const show = (state: { reason: string; message: string; events: readonly NewEvent[] }): void => {
    const waiting = recorder.of(name).state?.waiting;
    if (waiting?.reason === state.reason && waiting.message === state.message) return;
    const { reason, message } = state;
    recorder.change(
      { podIP: network.podIP },
      {
        [name]: { state: { waiting: { reason, message } }, lastState: target.lastState, ready: false, started: false },
      },
      state.events,
    );
  };
  while (!stop.signal.aborted) {
    try {
      return await tryStart(target, deps);
    } catch (error) {
      target.onFault();
      if (stop.signal.aborted) break;
      const fault = containerFault(error, image, target.fieldPath);
      logger.warn('container cannot be started yet', { container: name, reason: fault.reason, err: error });
      show(fault);
      let retryMs = backoff.next();
      try {
        if (fault.backOff !== undefined) {
          await clock.sleep(PULL_ERROR_SHOWN_MS, { signal: stop.signal });
          show(fault.backOff);
          retryMs -= PULL_ERROR_SHOWN_MS;
        }
        await clock.sleep(retryMs, { signal: stop.signal });
      } catch (stopped) {
        if (!stop.signal.aborted) throw stopped;
      }
    }
  }
  return undefined;
}

async function tryStart(target: ContainerToStart, deps: StartContainerDeps): Promise<StartedContainer | FailedStart> {
  const { container, attempt, fieldPath } = target;
  const { runtime, stop, clock, logger } = deps;
  const image = await resolveImage(container, fieldPath, deps, stop.signal);
  const prepared = await prepareContainer({ ...deps, container, attempt });
  stop.signal.throwIfAborted();
  const log = new ContainerLogWriter({ path: prepared.logPath, clock, logger });
  try {
    return { ...prepared, image, log, running: await runtime.start(prepared.plan, image, log) };
  } catch (error) {
    log.close();
    if (!(error instanceof InterlinkError && error.code === 'StartError')) throw error;
    return { image, terminated: startError(error.message, deps) };
  }
}

function startError(message: string, { runtime, clock }: StartContainerDeps): FailedStart['terminated'] {
  return {
    exitCode: START_ERROR_EXIT_CODE,
    reason: 'StartError',
    message,
    // A kubelet shows an id for a container that could not start, and the epoch as its start.
    startedAt: rfc3339(0),
    finishedAt: rfc3339(clock.nowMs()),
    containerID: `${runtime.name}://${randomBytes(32).toString('hex')}`,
  };
}
