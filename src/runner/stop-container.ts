import { aborted } from '../base/aborted.ts';
import type { Clock } from '../base/clock.ts';
import type { Container } from '../kube/types.ts';
import type { RunningContainer } from './container-runtime.ts';
import type { PodRecorder } from './pod-recorder.ts';
import type { Grace } from './stop-control.ts';

/** A container that shall end. */
export interface ContainerToStop {
  readonly container: Container;
  readonly fieldPath: string;
  readonly running: RunningContainer;
  /** Of the event that says so. */
  readonly message: string;
  readonly grace: Grace;
  /** Resolves when those have ended that this one has to outlive; waited for no longer than the grace. */
  readonly turn: Promise<void>;
}

export interface StopContainerDeps {
  readonly recorder: PodRecorder;
  readonly clock: Clock;
}

/** What a container gets after SIGTERM even when the grace has gone on its hook or on waiting for its turn. */
const MINIMUM_MS = 2_000;

/**
 * Stops a container as a kubelet does: event `Killing`, its turn, SIGTERM, and SIGKILL when the grace is over. A forced stop is SIGKILL at once.
 * Resolves when the container has ended.
 *
 * @see https://github.com/kubernetes/kubernetes/blob/v1.36.3/pkg/kubelet/kuberuntime/kuberuntime_container.go killContainer
 */
export async function stopContainer(
  { fieldPath, running, message, grace, turn }: ContainerToStop,
  { recorder, clock }: StopContainerDeps,
): Promise<void> {
  recorder.change({}, {}, [{ type: 'Normal', reason: 'Killing', message, fieldPath }]);
  const ended = new AbortController();
  const exited = running.exited.then(() => ended.abort());
  const over = aborted(grace.over, ended.signal);
  const forced = aborted(grace.forced, ended.signal);
  if (!grace.forced.aborted) {
    await Promise.race([turn, over, exited]);
    if (!ended.signal.aborted && !grace.forced.aborted) running.kill('SIGTERM');
    // Ended early with its container: then nobody waits for it.
    const minimum = clock.sleep(MINIMUM_MS, { signal: ended.signal }).catch(() => {});
    await Promise.race([exited, forced, Promise.all([over, minimum])]);
  }
  if (!ended.signal.aborted) running.kill('SIGKILL');
  await exited;
}
