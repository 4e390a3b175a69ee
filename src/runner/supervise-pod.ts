import type { Container } from '../kube/types.ts';
import { type ContainerRole, initRole } from './container-role.ts';
import { type ContainerRun, type RunContainerDeps, runContainer } from './run-container.ts';
import { StopOrder } from './stop-order.ts';
import { watchDeadline } from './watch-deadline.ts';

/** How the containers of a pod ended. */
export interface SupervisedPod {
  /** Exit code of the container that failed first, else 0; sidecars do not count. */
  readonly exitCode: number;
  /** Whether the active deadline ended it. */
  readonly isOverdue: boolean;
}

/** What running the containers of a pod takes. */
export type SupervisePodDeps = Omit<RunContainerDeps, 'order' | 'isLastMain'>;

/**
 * Runs the pod's containers as a kubelet does: init containers one after the other, each until it has ended well, a sidecar until it has started;
 * then all containers together, each until it has ended for good; then the sidecars are stopped. Ends early after an init container that failed for good or
 * when the pod is stopped. `activeDeadlineSeconds` stops the pod with its own grace.
 */
export async function supervisePod(deps: SupervisePodDeps): Promise<SupervisedPod> {
  const { pod, stop, recorder, clock } = deps;
  const order = new StopOrder(pod);
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
  const sidecars: Promise<unknown>[] = [];
  const mains = new Set((pod.spec?.containers ?? []).map(({ name }) => name));
  const isLastMain = (name: string): boolean => mains.has(name) && mains.size === 1;
  const run = (container: Container, role: ContainerRole, waiter: Partial<ContainerRun> = {}) => {
    const end = runContainer({ container, role, ...waiter }, { ...deps, order, isLastMain }).then((exitCode) => {
      mains.delete(container.name);
      if (role !== 'sidecar' && exitCode !== 0 && exitCode !== undefined) firstFailure ??= exitCode;
      return exitCode;
    });
    order.add(container.name, end);
    return end;
  };
  /** @returns whether the main containers may start */
  const initialize = async (): Promise<boolean> => {
    for (const container of pod.spec?.initContainers ?? []) {
      if (stop.signal.aborted) return false;
      if (initRole(container) === 'init') {
        if ((await run(container, 'init')) !== 0) return false;
      } else {
        const started = Promise.withResolvers<void>();
        const end = run(container, 'sidecar', { onStarted: started.resolve });
        sidecars.push(end);
        await Promise.race([started.promise, end]);
      }
    }
    return !stop.signal.aborted;
  };
  try {
    if (await initialize()) {
      const ends: Promise<unknown>[] = [];
      for (const container of pod.spec?.containers ?? []) {
        if (stop.signal.aborted) break;
        const attempted = Promise.withResolvers<void>();
        const end = run(container, 'main', { onAttempted: attempted.resolve });
        ends.push(end);
        // In the order of the spec, as with a kubelet; one that cannot start yet does not hold up the next.
        await Promise.race([attempted.promise, end]);
      }
      await Promise.all(ends);
    }
    deadline.abort();
    if (sidecars.length > 0) stop.request(deps.graceSeconds);
    await Promise.all(sidecars);
    return { exitCode: firstFailure ?? 0, isOverdue };
  } finally {
    deadline.abort();
  }
}
