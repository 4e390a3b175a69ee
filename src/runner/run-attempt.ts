import { rfc3339 } from '../base/clock.ts';
import { messageOf } from '../base/errors.ts';
import type { Container, ContainerState, ContainerStatus } from '../kube/types.ts';
import { type ContainerRole, fieldPathOf } from './container-role.ts';
import { oomKills } from './oom-counter.ts';
import type { NewEvent } from './pod-recorder.ts';
import { type FailedStart, type StartContainerDeps, type StartedContainer, startContainer } from './start-container.ts';
import { stopContainer } from './stop-container.ts';
import type { StopOrder } from './stop-order.ts';
import { terminationMessage } from './termination-message.ts';

/** What running a container takes. */
export interface RunAttemptDeps extends StartContainerDeps {
  readonly order: StopOrder;
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
  /** Called when what comes after it may start. */
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
  const { name } = container;
  const { runtime, recorder, stop, network, order, clock } = deps;
  const fieldPath = fieldPathOf(role, name);
  const normal = (reason: string, message: string): NewEvent => ({ type: 'Normal', reason, message, fieldPath });
  const oomBefore = oomKills() ?? 0;
  const started = await startContainer({ container, fieldPath, attempt, lastState, onFault: onAttempted }, deps);
  onAttempted();
  if (started === undefined) return undefined;
  if ('terminated' in started) return failedStart(started, run, deps);

  const { running } = started;
  const containerID = `${runtime.name}://${running.id}`;
  const startedAt = wholeSeconds(running.startedAt);
  const status = { restartCount: attempt, lastState, imageID: started.image.imageId, containerID };
  recorder.change(
    { podIP: network.podIP },
    { [name]: { ...status, state: { running: { startedAt } }, ready: role !== 'init', started: true } },
    [normal('Created', 'Container created'), normal('Started', 'Container started')],
  );
  run.onStarted();
  let isStopping = false;
  const onStop = (): void => {
    isStopping = true;
    const message = `Stopping container ${name}`;
    void stopContainer({ container, fieldPath, running, message, grace: stop, turn: order.turnOf(name) }, deps);
  };
  if (stop.signal.aborted) onStop();
  else stop.signal.addEventListener('abort', onStop, { once: true });
  const { exitCode, oomKilled, finishedAt } = await running.exited;
  const endedMs = clock.monotonicMs();
  stop.signal.removeEventListener('abort', onStop);
  const isOom = oomKilled || (exitCode === 137 && !isStopping && (oomKills() ?? 0) > oomBefore);
  started.log.close();
  const message = await readMessage(container, started, exitCode, deps);
  // No `signal`: a kubelet never sets it, the exit code says it.
  const terminated = {
    exitCode,
    reason: isOom ? 'OOMKilled' : exitCode === 0 ? 'Completed' : 'Error',
    ...(message === undefined ? {} : { message }),
    startedAt,
    finishedAt: wholeSeconds(finishedAt),
    containerID,
  };
  return { terminated, endedMs, status, events: [] };
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

/** `metav1.Time` knows whole seconds only. */
function wholeSeconds(time: string): string {
  return rfc3339(Date.parse(time));
}
