import { messageOf } from '../base/errors.ts';
import type { Container, ContainerState, ContainerStatus } from '../kube/types.ts';
import { type ContainerRole, fieldPathOf } from './container-role.ts';
import { LiveContainer } from './live-container.ts';
import { oomKills } from './oom-counter.ts';
import type { NewEvent } from './pod-recorder.ts';
import { type FailedStart, type StartContainerDeps, type StartedContainer, startContainer } from './start-container.ts';
import type { StopOrder } from './stop-order.ts';
import { terminationMessage } from './termination-message.ts';
import { wholeSeconds } from './whole-seconds.ts';

/** What running a container takes. */
export interface RunAttemptDeps extends StartContainerDeps {
  readonly order: StopOrder;
  /** What the pod gives its containers to end. */
  readonly graceSeconds: number;
  /** Whether all other main containers have ended for good. */
  readonly isLastMain: (name: string) => boolean;
}

/** A container to run once. */
export interface Attempt {
  readonly container: Container;
  readonly role: ContainerRole;
  /** 0 for the first; the number of restarts. */
  readonly attempt: number;
  /** How the attempt before ended. */
  readonly lastState: ContainerState;
  /** Called once its start has come to something, good or bad. */
  readonly onAttempted: () => void;
  /** Called when its startup probe has passed: what comes after it may start. */
  readonly onStarted: () => void;
}

/** How an attempt ended. */
export interface EndedAttempt {
  readonly terminated: NonNullable<ContainerState['terminated']>;
  /** When, as `Clock.monotonicMs` has it. */
  readonly endedMs: number;
  /** What the container's status says of this attempt besides its state. */
  readonly status: Partial<ContainerStatus>;
  /** Events that have not been recorded yet. */
  readonly events: readonly NewEvent[];
  /** A probe had it stopped so that it is started again. */
  readonly isUnhealthy?: boolean;
  /** What a kubelet shows instead of the end when the container is started again, because the start failed. */
  readonly waiting?: { readonly reason: string; readonly message: string };
}

/**
 * Runs a container once, from its image to its end, and records that it runs; the end is left to the caller.
 *
 * @returns undefined when the pod was stopped before the container had started
 */
export async function runAttempt(run: Attempt, deps: RunAttemptDeps): Promise<EndedAttempt | undefined> {
  const { container, role, attempt, lastState, onAttempted } = run;
  const { runtime, clock } = deps;
  const fieldPath = fieldPathOf(role, container.name);
  const oomBefore = oomKills() ?? 0;
  const started = await startContainer({ container, fieldPath, attempt, lastState, onFault: onAttempted }, deps);
  if (started === undefined) return undefined;
  if ('terminated' in started) {
    onAttempted();
    return failedStart(started, run, deps);
  }

  const containerID = `${runtime.name}://${started.running.id}`;
  const status = { restartCount: attempt, lastState, imageID: started.image.imageId, containerID };
  const end = await new LiveContainer(run, started.running, status, deps).end();
  const endedMs = clock.monotonicMs();
  const { exitCode, wasStopped, isUnhealthy, hookFailure } = end;
  const isOom = end.oomKilled || (exitCode === 137 && !wasStopped && (oomKills() ?? 0) > oomBefore);
  started.log.close();
  const message = await readMessage(container, started, exitCode, deps);
  // No `signal`: a kubelet never sets it, the exit code says it.
  const terminated = {
    exitCode,
    reason: isOom ? 'OOMKilled' : exitCode === 0 ? 'Completed' : 'Error',
    ...(message === undefined ? {} : { message }),
    startedAt: wholeSeconds(started.running.startedAt),
    finishedAt: wholeSeconds(end.finishedAt),
    containerID,
  };
  const waiting = hookFailure === undefined ? {} : { waiting: { reason: 'PostStartHookError', message: hookFailure } };
  return { terminated, endedMs, status, events: [], isUnhealthy, ...waiting };
}

function failedStart(
  { image, terminated }: FailedStart,
  { container, role, attempt, lastState }: Attempt,
  { clock }: RunAttemptDeps,
): EndedAttempt {
  const fieldPath = fieldPathOf(role, container.name);
  const { message = '', containerID = '' } = terminated;
  return {
    terminated,
    endedMs: clock.monotonicMs(),
    status: { restartCount: attempt, lastState, imageID: image.imageId, containerID },
    events: [
      { type: 'Normal', reason: 'Created', message: 'Container created', fieldPath },
      { type: 'Warning', reason: 'Failed', message: `Error: ${message}`, fieldPath },
    ],
    waiting: { reason: 'RunContainerError', message },
  };
}

async function readMessage(
  container: Container,
  { logPath, terminationFile }: StartedContainer,
  exitCode: number,
  { pod, clock, logger }: RunAttemptDeps,
): Promise<string | undefined> {
  const containers = (pod.spec?.initContainers?.length ?? 0) + (pod.spec?.containers.length ?? 0);
  try {
    return await terminationMessage({ container, file: terminationFile, logPath, exitCode, containers, clock });
  } catch (error) {
    logger.warn('termination message cannot be read', { container: container.name, err: error });
    return `Error on reading termination message: ${messageOf(error)}`;
  }
}
