import { rfc3339 } from '../base/clock.ts';
import { messageOf } from '../base/errors.ts';
import type { Container } from '../kube/types.ts';
import { oomKills } from './oom-counter.ts';
import type { NewEvent } from './pod-recorder.ts';
import { type StartContainerDeps, type StartedContainer, startContainer } from './start-container.ts';
import { terminationMessage } from './termination-message.ts';

/** What running a container takes; the same as starting one. */
export type RunContainerDeps = StartContainerDeps;

/**
 * Runs one container from its image to its end and records each state. Once it has started it is never started again.
 *
 * @param onAttempted called once its first start has come to something, good or bad
 * @returns the exit code; undefined when the pod was stopped before the container had started
 */
export async function runContainer(
  container: Container,
  kind: 'init' | 'main',
  deps: RunContainerDeps,
  onAttempted: () => void = () => {},
): Promise<number | undefined> {
  const { name } = container;
  const { runtime, recorder, stop, network } = deps;
  const fieldPath = kind === 'init' ? `spec.initContainers{${name}}` : `spec.containers{${name}}`;
  const normal = (reason: string, message: string): NewEvent => ({ type: 'Normal', reason, message, fieldPath });
  const oomBefore = oomKills() ?? 0;
  const started = await startContainer({ container, fieldPath, onAttempted }, deps);
  if (started === undefined || 'exitCode' in started) return started?.exitCode;

  const { running, image } = started;
  const containerID = `${runtime.name}://${running.id}`;
  const startedAt = wholeSeconds(running.startedAt);
  const state = { running: { startedAt } };
  recorder.change(
    { podIP: network.podIP },
    { [name]: { state, ready: kind === 'main', started: true, imageID: image.imageId, containerID } },
    [normal('Created', 'Container created'), normal('Started', 'Container started')],
  );
  let isStopping = false;
  const end = (signal: NodeJS.Signals): void => {
    if (!isStopping) recorder.change({}, {}, [normal('Killing', `Stopping container ${name}`)]);
    isStopping = true;
    running.kill(signal);
  };
  const remove = stop.add({ terminate: () => end('SIGTERM'), kill: () => end('SIGKILL') });
  const { exitCode, oomKilled, finishedAt } = await running.exited;
  remove();
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
  const ready = kind === 'init' && exitCode === 0;
  recorder.change({}, { [name]: { state: { terminated }, ready, started: false } }, []);
  return exitCode;
}

async function readMessage(
  container: Container,
  { logPath, terminationFile }: StartedContainer,
  exitCode: number,
  { pod, clock, logger }: RunContainerDeps,
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
