import type { Clock } from '../base/clock.ts';
import type { Pod } from '../kube/types.ts';
import { type RunContainerDeps, runContainer } from './run-container.ts';

/** How the containers of a pod ended. */
export interface SupervisedPod {
  /** Exit code of the container that failed first, else 0. */
  readonly exitCode: number;
  /** Whether the active deadline ended it. */
  readonly isOverdue: boolean;
}

/**
 * Runs the pod's containers as a kubelet does: init containers one after the other, each until it has ended well, then all containers together, until the last
 * has ended; ends early after a failed init container or when the pod is stopped. `activeDeadlineSeconds` stops the pod with its own grace.
 * A failed container is not started again, whatever `restartPolicy` says.
 */
export async function supervisePod(deps: RunContainerDeps & { readonly graceSeconds: number }): Promise<SupervisedPod> {
  const { pod, stop, recorder, clock } = deps;
  let isOverdue = false;
  const deadline = watchDeadline(pod, clock, () => {
    isOverdue = true;
    const message = 'Pod was active on the node longer than the specified deadline';
    recorder.change({ phase: 'Failed', reason: 'DeadlineExceeded', message }, {}, [
      { type: 'Normal', reason: 'DeadlineExceeded', message },
    ]);
    stop.request(deps.graceSeconds);
  });
  let firstFailure: number | undefined;
  const note = (exitCode: number | undefined): void => {
    if (exitCode !== 0 && exitCode !== undefined) firstFailure ??= exitCode;
  };
  try {
    for (const container of pod.spec?.initContainers ?? []) {
      const exitCode = await runContainer(container, 'init', deps);
      note(exitCode);
      if (exitCode !== 0 || stop.signal.aborted) return { exitCode: firstFailure ?? 0, isOverdue };
    }
    const ends: Promise<void>[] = [];
    for (const container of pod.spec?.containers ?? []) {
      const attempted = Promise.withResolvers<void>();
      const end = runContainer(container, 'main', deps, attempted.resolve).then(note);
      ends.push(end);
      // In the order of the spec, as with a kubelet; one that cannot start yet does not hold up the next.
      await Promise.race([attempted.promise, end]);
    }
    await Promise.all(ends);
    return { exitCode: firstFailure ?? 0, isOverdue };
  } finally {
    deadline.abort();
  }
}

function watchDeadline(pod: Pod, clock: Clock, onDeadline: () => void): AbortController {
  const controller = new AbortController();
  const seconds = pod.spec?.activeDeadlineSeconds;
  if (seconds !== undefined) sleepLong(clock, seconds * 1000, controller.signal).then(onDeadline, () => {});
  return controller;
}

/** Timers hold 2^31 ms at most, deadlines more. */
async function sleepLong(clock: Clock, ms: number, signal: AbortSignal): Promise<void> {
  const step = 2 ** 30;
  for (let rest = ms; rest > 0; rest -= step) await clock.sleep(Math.min(rest, step), { signal });
}
