import { aborted } from '../base/aborted.ts';
import type { Clock } from '../base/clock.ts';
import type { Logger } from '../base/logger.ts';
import type { Container } from '../kube/types.ts';
import type { RunningContainer } from './container-runtime.ts';
import type { PodNetwork } from './pod-network.ts';
import type { PodRecorder } from './pod-recorder.ts';
import { runHook } from './run-hook.ts';
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
  readonly network: PodNetwork;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** What a container gets after SIGTERM even when the grace has gone on its hook or on waiting for its turn. */
const MINIMUM_MS = 2_000;

/**
 * Stops a container as a kubelet does: event `Killing`, its preStop hook, its turn, SIGTERM or its image's own signal, and SIGKILL when the grace is
 * over. A forced stop is SIGKILL at once. Resolves when the container has ended.
 *
 * @see https://github.com/kubernetes/kubernetes/blob/v1.36.3/pkg/kubelet/kuberuntime/kuberuntime_container.go killContainer
 */
export async function stopContainer(target: ContainerToStop, deps: StopContainerDeps): Promise<void> {
  const { fieldPath, running, message, grace, turn } = target;
  const { recorder, clock } = deps;
  recorder.change({}, {}, [{ type: 'Normal', reason: 'Killing', message, fieldPath }]);
  const ended = new AbortController();
  const exited = running.exited.then(() => ended.abort());
  const over = aborted(grace.over, ended.signal);
  const forced = aborted(grace.forced, ended.signal);
  if (!grace.forced.aborted) {
    if (!grace.over.aborted) await runPreStop(target, AbortSignal.any([grace.over, ended.signal]), deps);
    await Promise.race([turn, over, exited]);
    if (!ended.signal.aborted && !grace.forced.aborted) running.kill(running.stopSignal ?? 'SIGTERM');
    // Cut short by the end of the container, and then nobody waits for it.
    const minimum = clock.sleep(MINIMUM_MS, { signal: ended.signal }).catch(() => {});
    await Promise.race([exited, forced, Promise.all([over, minimum])]);
  }
  if (!ended.signal.aborted) running.kill('SIGKILL');
  await exited;
}

async function runPreStop(
  { container, fieldPath, running }: ContainerToStop,
  signal: AbortSignal,
  { recorder, network, clock, logger }: StopContainerDeps,
): Promise<void> {
  const hook = container.lifecycle?.preStop;
  if (!hook) return;
  try {
    await runHook(hook, { container, running, podIP: network.podIP, clock, logger, signal });
  } catch (error) {
    logger.warn('preStop hook failed', { container: container.name, err: error });
    // Its output may hold secrets.
    const message = 'PreStopHook failed';
    recorder.change({}, {}, [{ type: 'Warning', reason: 'FailedPreStopHook', message, fieldPath }]);
  }
}
