import { goDuration } from '../base/go-duration.ts';
import { formatPod } from '../kube/format-pod.ts';
import type { Container, ContainerStatus } from '../kube/types.ts';
import { removeAttemptFiles } from './attempt-files.ts';
import { type ContainerRole, fieldPathOf, restartsAfter } from './container-role.ts';
import { RestartBackoff } from './restart-backoff.ts';
import { type EndedAttempt, type RunAttemptDeps, runAttempt } from './run-attempt.ts';

/** What running a container takes; the same as running it once. */
export type RunContainerDeps = RunAttemptDeps;

/** A container of the pod and who waits for it. */
export interface ContainerRun {
  readonly container: Container;
  readonly role: ContainerRole;
  /** Called once its first start has come to something, good or bad; repeatedly. */
  readonly onAttempted?: () => void;
  /** Called when what comes after it may start; repeatedly. */
  readonly onStarted?: () => void;
}

/** How long an end is shown before `CrashLoopBackOff`: who looks at the exit code must have a chance to see it. A kubelet takes up to 10 s. */
const END_SHOWN_MS = 5_000;
/** A start that failed is tried again when a kubelet would have noticed that. */
const FAILED_START_SHOWN_MS = 1_000;

/**
 * Runs one container until it has ended for good, and records each state. Between attempts it waits as a kubelet would.
 *
 * @returns the exit code of the last attempt; undefined when the pod was stopped before the container had started
 */
export async function runContainer(run: ContainerRun, deps: RunContainerDeps): Promise<number | undefined> {
  const { container, role, onAttempted = () => {}, onStarted = () => {} } = run;
  const { pod, stop, clock, directory, logger } = deps;
  const backoff = new RestartBackoff(clock);
  let last: EndedAttempt | undefined;
  for (let attempt = 0; ; attempt += 1) {
    // The log of the attempt before stays, for `logs --previous`.
    await removeAttemptFiles(directory, container.name, attempt - 2, logger);
    const lastState = last ? { terminated: last.terminated } : {};
    const ended = await runAttempt({ container, role, attempt, lastState, onAttempted, onStarted }, deps);
    if (ended === undefined) {
      if (last) recordEnd(run, { ...last, events: [] }, deps);
      return last?.terminated.exitCode;
    }
    const before: EndedAttempt | undefined = last;
    last = ended;
    if (ended.isUnhealthy && !stop.signal.aborted && isRestartedAtOnce(backoff, before)) continue;
    if (stop.signal.aborted || !restartsAfter(pod, role, ended.terminated.exitCode)) {
      recordEnd(run, ended, deps);
      // Its restart was due and is not wanted any more.
      if (ended.isUnhealthy && !stop.signal.aborted) recordBackOff(run, deps);
      return ended.terminated.exitCode;
    }
    try {
      await waitForRestart(run, ended, backoff, deps);
    } catch (error) {
      if (!stop.signal.aborted) throw error;
      // Its events have been recorded, its end may be hidden behind what it waited for.
      recordEnd(run, { ...ended, events: [] }, deps);
      return ended.terminated.exitCode;
    }
    backoff.restart(ended.endedMs);
  }
}

/**
 * Whether a container that a probe had stopped is started again without a wait, as if it had not ended. A kubelet then looks at the end of the attempt before
 * that one; only when that is too near does this end count as one.
 *
 * @see https://github.com/kubernetes/kubernetes/blob/v1.36.3/pkg/kubelet/kuberuntime/kuberuntime_manager.go doBackOff
 */
function isRestartedAtOnce(backoff: RestartBackoff, before: EndedAttempt | undefined): boolean {
  if (before === undefined) return true;
  if (backoff.remainingMs(before.endedMs) > 0) return false;
  backoff.restart(before.endedMs);
  return true;
}

/** Shows the end, then what the container waits for. Rejects when the pod is stopped. */
async function waitForRestart(
  run: ContainerRun,
  ended: EndedAttempt,
  backoff: RestartBackoff,
  deps: RunContainerDeps,
): Promise<void> {
  const { pod, recorder, stop, clock } = deps;
  const { name } = run.container;
  const { signal } = stop;
  const { waiting, terminated, status, events, endedMs } = ended;
  const lastState = { terminated };
  const notReady: Partial<ContainerStatus> = { ...status, lastState, ready: false, started: false };
  if (waiting) recorder.change({ podIP: deps.network.podIP }, { [name]: { ...notReady, state: { waiting } } }, events);
  else recordEnd(run, ended, deps);
  const restMs = backoff.remainingMs(endedMs);
  if (restMs === 0) return waiting && clock.sleep(FAILED_START_SHOWN_MS, { signal });

  recordBackOff(run, deps);
  await clock.sleep(Math.min(END_SHOWN_MS, restMs), { signal });
  const message = `back-off ${goDuration(backoff.delayMs)} restarting failed container=${name} pod=${formatPod(pod)}`;
  recorder.change({}, { [name]: { ...notReady, state: { waiting: { reason: 'CrashLoopBackOff', message } } } }, []);
  await clock.sleep(backoff.remainingMs(endedMs), { signal });
}

function recordBackOff({ container: { name }, role }: ContainerRun, { pod, recorder }: RunContainerDeps): void {
  const message = `Back-off restarting failed container ${name} in pod ${formatPod(pod)}`;
  recorder.change({}, {}, [{ type: 'Warning', reason: 'BackOff', message, fieldPath: fieldPathOf(role, name) }]);
}

function recordEnd(
  { container, role }: ContainerRun,
  { terminated, status, events }: EndedAttempt,
  { recorder, network }: RunContainerDeps,
): void {
  const ready = role === 'init' && terminated.exitCode === 0;
  recorder.change(
    { podIP: network.podIP },
    { [container.name]: { ...status, state: { terminated }, ready, started: false } },
    events,
  );
}
