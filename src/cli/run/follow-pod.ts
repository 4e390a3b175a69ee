import { Backoff } from '../../base/backoff.ts';
import type { Clock } from '../../base/clock.ts';
import { isKind, isRetriable, messageOf } from '../../base/errors.ts';
import { podRefOf } from '../../contract/pod-ref.ts';
import { isOver, type PodStatus } from '../../contract/pod-status.ts';
import type { Sidecar } from '../../contract/sidecar.ts';
import type { ContainerStatus, Pod } from '../../kube/types.ts';

export interface FollowDeps {
  readonly sidecar: Sidecar;
  readonly clock: Clock;
  /** Called with each status of the pod, in order. */
  readonly onStatus: (status: PodStatus) => void;
  /** Takes a container's output as it comes; absent when nobody wants it. */
  readonly onLog?: (container: string, bytes: AsyncIterable<Uint8Array>) => Promise<void>;
  /** Called with one sentence when something had to be tried again or is missing from the output. */
  readonly onTrouble: (message: string) => void;
}

/** How often a peer that cannot push is asked. */
const POLL_MS = 1_000;

/**
 * Follows the pod until it is over and all of its output has been handed on, attempt after attempt; resolves with its last status. A link that breaks
 * is made again for as long as `signal` does not abort.
 *
 * @throws what the sidecar throws when a retry cannot help, `signal.reason` on abort
 */
export async function followPod(pod: Pod, deps: FollowDeps, signal: AbortSignal): Promise<PodStatus> {
  const logs = new Map<string, { readonly attempt: number; readonly printed: Promise<void> }>();
  const { onLog } = deps;
  let last: PodStatus | undefined;
  for await (const status of statusesOf(pod, deps, signal)) {
    last = status;
    deps.onStatus(status);
    for (const container of onLog ? [...status.initContainers, ...status.containers] : []) {
      const { name, restartCount } = container;
      const before = logs.get(name);
      if (!onLog || !hasStarted(container) || (before && before.attempt >= restartCount)) continue;
      // Of several attempts since the last status the newest two are there.
      const from = Math.max((before?.attempt ?? -1) + 1, restartCount - 1);
      const printed = (before?.printed ?? Promise.resolve()).then(async () => {
        for (let attempt = from; attempt <= restartCount; attempt += 1)
          await printLog(pod, name, attempt, onLog, deps, signal);
      });
      logs.set(name, { attempt: restartCount, printed });
    }
    if (isOver(status)) break;
  }
  await Promise.all([...logs.values()].map(({ printed }) => printed));
  if (last === undefined) throw new Error('the status stream ended before the pod did');
  return last;
}

function hasStarted({ state, lastState, containerID }: ContainerStatus): boolean {
  if (state?.waiting) return lastState?.terminated !== undefined;
  return state?.running !== undefined || Boolean(state?.terminated && (containerID || state.terminated.startedAt));
}

async function* statusesOf(pod: Pod, deps: FollowDeps, signal: AbortSignal): AsyncGenerator<PodStatus> {
  const { sidecar, clock, onTrouble } = deps;
  const { uid } = podRefOf(pod);
  const backoff = new Backoff({ initialMs: 200, maxMs: 5_000 });
  const { capabilities } = await sidecar.capabilities({ signal });
  while (true) {
    try {
      if (!capabilities.includes('watch')) {
        for (const status of await sidecar.status([pod], { signal })) if (status.uid === uid) yield status;
        await clock.sleep(POLL_MS, { signal });
        continue;
      }
      for await (const event of sidecar.watch({ signal })) {
        backoff.reset();
        if (event.type === 'SNAPSHOT') yield* event.items.filter((item) => item.uid === uid);
        if (event.type === 'STATUS' && event.item.uid === uid) yield event.item;
      }
    } catch (error) {
      signal.throwIfAborted();
      if (!isRetriable(error)) throw error;
      onTrouble(`lost the link to the site, trying again: ${messageOf(error)}`);
    }
    await clock.sleep(backoff.next(), { signal });
  }
}

async function printLog(
  pod: Pod,
  container: string,
  attempt: number,
  onLog: NonNullable<FollowDeps['onLog']>,
  deps: FollowDeps,
  signal: AbortSignal,
): Promise<void> {
  try {
    // Existing peers get no option that they do not know unless it matters.
    const isOnly = attempt === 0 && pod.spec?.restartPolicy === 'Never';
    const request = { ...podRefOf(pod), container, options: { follow: true, ...(isOnly ? {} : { attempt }) } };
    await onLog(container, await deps.sidecar.logs(request, { signal }));
  } catch (error) {
    if (signal.aborted) return;
    const missing = isKind(error, 'NotFound', 'Invalid') ? 'no output' : 'output is incomplete';
    deps.onTrouble(`container ${container}: ${missing}: ${messageOf(error)}`);
  }
}
