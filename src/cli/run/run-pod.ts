import type { Clock } from '../../base/clock.ts';
import { messageOf } from '../../base/errors.ts';
import type { PodBundle } from '../../contract/pod-bundle.ts';
import { isOver, type PodStatus } from '../../contract/pod-status.ts';
import type { Sidecar } from '../../contract/sidecar.ts';
import { cannotStart } from './cannot-start.ts';
import { describeChange } from './describe-change.ts';
import { exitCodeOf } from './exit-code.ts';
import { type FollowDeps, followPod } from './follow-pod.ts';
import type { StopSignals } from './stop-signals.ts';

export interface RunPodDeps extends Pick<FollowDeps, 'onLog'> {
  readonly sidecar: Sidecar;
  readonly clock: Clock;
  readonly signals: StopSignals;
  /** Takes one line for the person who waits. */
  readonly say: (line: string) => void;
}

/** How a pod went. */
export interface PodRun {
  /** The last status before we ended the pod ourselves, else the last one of all. */
  readonly status: PodStatus;
  /** That of the container that was seen to fail first, else 0; 1 when only the pod as a whole failed. */
  readonly exitCode: number;
  /** Why no container could start, when that is so. */
  readonly failure?: string;
  readonly interrupted: boolean;
}

/**
 * Runs the pod to its end and takes it away from the site, whatever happens. The first signal stops it with its grace period, the second kills it,
 * the third gives up waiting. A container that waits for what will not come ends the pod.
 *
 * @throws what the site says to the pod; the signal's error when the third one came or the first before the site had taken the pod
 */
export async function runPod(bundle: PodBundle, deps: RunPodDeps): Promise<PodRun> {
  const { sidecar, clock, signals, say } = deps;
  const { pod } = bundle;
  const over = new AbortController();
  const { signal } = over;
  let status: PodStatus | undefined;
  let failure: string | undefined;
  let interrupted = false;
  let exitCode = 0;

  const stop = async (gracePeriodSeconds?: number): Promise<void> => {
    const grace = gracePeriodSeconds === undefined ? {} : { deletionGracePeriodSeconds: gracePeriodSeconds };
    try {
      await sidecar.delete(
        { ...pod, metadata: { ...pod.metadata, ...grace } },
        { signal: AbortSignal.timeout(STOP_MS) },
      );
    } catch (error) {
      say(`pod ${pod.metadata?.name}: the site did not take the order to stop: ${messageOf(error)}`);
    }
  };
  const obeySignals = async (): Promise<void> => {
    await signals.received(1);
    interrupted = true;
    say(`pod ${pod.metadata?.name}: stopping; press Ctrl-C again to kill it`);
    await stop();
    await signals.received(2);
    await stop(0);
    await signals.received(3);
    over.abort(new Error('gave up waiting for the end of the pod; it may still run'));
  };
  const onStatus = (next: PodStatus): void => {
    for (const line of describeChange(status, next)) say(line);
    if (failure !== undefined) return;
    status = next;
    // Times in a status are whole seconds, so the order in which failures come tells more.
    exitCode ||= exitCodeOf(pod, next);
    failure = isOver(next) ? undefined : cannotStart(next);
    if (failure !== undefined) void stop(0);
  };

  void obeySignals();
  try {
    await sidecar.create(bundle, { signal });
    await followPod(
      pod,
      { sidecar, clock, onStatus, onTrouble: say, ...(deps.onLog ? { onLog: deps.onLog } : {}) },
      signal,
    );
  } finally {
    await stop(0);
  }
  if (status === undefined) throw new Error('the site never said anything about the pod');
  return { status, exitCode, interrupted, ...(failure === undefined ? {} : { failure }) };
}

/** An order to stop is taken at once or not at all. */
const STOP_MS = 10_000;
