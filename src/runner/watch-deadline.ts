import type { Clock } from '../base/clock.ts';
import type { Pod } from '../kube/types.ts';

/** Calls `onDeadline` when the pod has run for its `activeDeadlineSeconds`, until the returned controller is aborted. */
export function watchDeadline(pod: Pod, clock: Clock, onDeadline: () => void): AbortController {
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
