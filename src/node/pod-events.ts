import type { Clock } from '../base/clock.ts';
import type { PodEvent, PodStatus } from '../contract/pod-status.ts';
import type { EventRecorder } from '../kube/event-recorder.ts';
import type { Pod } from '../kube/types.ts';

/** API servers keep events for an hour; older ones are no news. */
const KEPT_MS = 60 * 60_000;

/** The events of one pod: those of the site, each once, and the node's own. */
export class PodEvents {
  readonly #recorder: Pick<EventRecorder, 'record'>;
  readonly #clock: Clock;
  readonly #seen = new Set<string>();
  /** What happened until then was recorded by an earlier process. */
  #recordedUntilMs: number;

  /** @param pod as the API server had it when this process saw it first */
  constructor(deps: { readonly events: Pick<EventRecorder, 'record'>; readonly clock: Clock }, pod: Pod) {
    this.#recorder = deps.events;
    this.#clock = deps.clock;
    this.#recordedUntilMs = newestTime(pod);
  }

  /** Records the events of a status that have not been recorded before. */
  take(pod: Pod, { events = [] }: PodStatus): void {
    for (const { id, time, type, reason, message, fieldPath } of events) {
      if (this.#seen.has(id)) continue;
      this.#seen.add(id);
      const timeMs = Date.parse(time);
      if (timeMs <= this.#recordedUntilMs || timeMs < this.#clock.nowMs() - KEPT_MS) continue;
      this.record(pod, { type, reason, message, ...(fieldPath === undefined ? {} : { fieldPath }), time });
    }
  }

  /** Records an event now, or at the time that it has. */
  record(pod: Pod, event: Omit<PodEvent, 'id' | 'time'> & { readonly time?: string }): void {
    const { namespace = 'default', name = '', uid = '', resourceVersion } = pod.metadata ?? {};
    const { type, reason, message, fieldPath, time } = event;
    const timeMs = Date.parse(time ?? '');
    this.#recorder.record({
      involvedObject: {
        apiVersion: 'v1',
        kind: 'Pod',
        namespace,
        name,
        uid,
        ...(resourceVersion === undefined ? {} : { resourceVersion }),
        ...(fieldPath === undefined ? {} : { fieldPath }),
      },
      type,
      reason,
      message,
      ...(Number.isNaN(timeMs) ? {} : { timeMs }),
    });
  }
}

/**
 * The newest moment that the pod's status tells of. Events go out with the status of their cause, so those until then have been recorded; statuses have
 * whole seconds only.
 */
function newestTime({ status = {} }: Pod): number {
  const containers = [...(status.initContainerStatuses ?? []), ...(status.containerStatuses ?? [])];
  const times = [
    status.startTime,
    ...containers.flatMap(({ state }) => [
      state?.running?.startedAt,
      state?.terminated?.startedAt,
      state?.terminated?.finishedAt,
    ]),
  ];
  const known = times.map((time) => Date.parse(time ?? '')).filter((ms) => !Number.isNaN(ms));
  return status.startTime === undefined ? Number.NEGATIVE_INFINITY : Math.max(...known) + 999;
}
