import { randomBytes } from 'node:crypto';
import { Backoff } from '../base/backoff.ts';
import { type Clock, rfc3339 } from '../base/clock.ts';
import { InterlinkError } from '../base/errors.ts';
import type { Logger } from '../base/logger.ts';
import type { JobDirectory } from '../contract/job-directory.ts';
import type { Container, Pod } from '../kube/types.ts';
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

/** A container of the spec and where events say that it stands. */
export interface ContainerToStart {
  readonly container: Container;
  /** `spec.containers{c}` or `spec.initContainers{i}`. */
  readonly fieldPath: string;
  /** Called once the first attempt to start it has come to something, good or bad. */
  readonly onAttempted: () => void;
}

/** One attempt that is under way. */
export interface StartedContainer extends PreparedContainer {
  readonly running: RunningContainer;
  readonly image: ResolvedImage;
  readonly log: ContainerLogWriter;
}

/** Exit code of a program that could not be executed. */
export const START_ERROR_EXIT_CODE = 128;

/** How long an image that cannot be fetched is shown as `ErrImagePull` before it becomes `ImagePullBackOff`. */
const PULL_ERROR_SHOWN_MS = 3_000;
/** A kubelet's image back-off. */
const RETRY = { initialMs: 10_000, maxMs: 300_000, jitter: 0 };

/**
 * Fetches the image, prepares the attempt and starts it. What keeps it from starting is shown as waiting and tried again for ever, as a kubelet does; only a
 * program that cannot be executed ends it: that is recorded as `StartError` and returned as an exit code.
 *
 * @returns undefined when the pod was stopped before the container had started
 */
export async function startContainer(
  target: ContainerToStart,
  deps: StartContainerDeps,
): Promise<StartedContainer | { readonly exitCode: number } | undefined> {
  const { name, image = '' } = target.container;
  const { network, recorder, stop, clock, logger } = deps;
  const backoff = new Backoff(RETRY);
  const show = (state: { reason: string; message: string; events: readonly NewEvent[] }): void => {
    const waiting = recorder.of(name).state?.waiting;
    if (waiting?.reason === state.reason && waiting.message === state.message) return;
    const { reason, message } = state;
    recorder.change({ podIP: network.podIP }, { [name]: { state: { waiting: { reason, message } } } }, state.events);
  };
  while (!stop.signal.aborted) {
    try {
      const started = await tryStart(target, deps);
      target.onAttempted();
      return started;
    } catch (error) {
      target.onAttempted();
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

async function tryStart(
  target: ContainerToStart,
  deps: StartContainerDeps,
): Promise<StartedContainer | { readonly exitCode: number }> {
  const { container } = target;
  const { name } = container;
  const { runtime, recorder, stop, clock, logger } = deps;
  const image = await resolveImage(container, target.fieldPath, deps, stop.signal);
  const prepared = await prepareContainer({ ...deps, container, attempt: recorder.of(name).restartCount });
  stop.signal.throwIfAborted();
  const log = new ContainerLogWriter({ path: prepared.logPath, clock, logger });
  try {
    return { ...prepared, image, log, running: await runtime.start(prepared.plan, image, log) };
  } catch (error) {
    log.close();
    if (!(error instanceof InterlinkError && error.code === 'StartError')) throw error;
    recordStartError(target, error.message, image, deps);
    return { exitCode: START_ERROR_EXIT_CODE };
  }
}

function recordStartError(
  { container, fieldPath }: ContainerToStart,
  message: string,
  image: ResolvedImage,
  { recorder, runtime, network, clock }: StartContainerDeps,
): void {
  // A kubelet shows an id for a container that could not start, and the epoch as its start.
  const containerID = `${runtime.name}://${randomBytes(32).toString('hex')}`;
  const terminated = {
    exitCode: START_ERROR_EXIT_CODE,
    reason: 'StartError',
    message,
    startedAt: rfc3339(0),
    finishedAt: rfc3339(clock.nowMs()),
    containerID,
  };
  recorder.change(
    { podIP: network.podIP },
    { [container.name]: { state: { terminated }, ready: false, started: false, imageID: image.imageId, containerID } },
    [
      { type: 'Normal', reason: 'Created', message: 'Container created', fieldPath },
      { type: 'Warning', reason: 'Failed', message: `Error: ${message}`, fieldPath },
    ],
  );
}
