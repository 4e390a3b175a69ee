import { type Clock, rfc3339 } from '../base/clock.ts';
import { InterlinkError } from '../base/errors.ts';
import type { RunnerRecord, RunnerStatus } from '../contract/job-directory.ts';
import type { PodEvent } from '../contract/pod-status.ts';
import type { Container, ContainerStatus, Pod } from '../kube/types.ts';

/** An event before it has its number and time. */
export type NewEvent = Pick<PodEvent, 'type' | 'reason' | 'message'> & { readonly fieldPath?: string };

/** What a change may set besides the containers. */
export type PodFields = Partial<Pick<RunnerStatus, 'sandbox' | 'podIP' | 'phase' | 'reason' | 'message'>>;

export interface PodRecorderDeps {
  readonly clock: Clock;
  readonly nodeName: string;
  /** Takes each record; must not throw. */
  readonly append: (record: RunnerRecord) => void;
}

/**
 * The pod's status in memory. Each change becomes one record with the whole status. Containers begin as a kubelet shows them: waiting,
 * `PodInitializing` if there are init containers, else `ContainerCreating`.
 */
export class PodRecorder {
  readonly #deps: PodRecorderDeps;
  readonly #containers: Map<string, ContainerStatus>;
  readonly #initContainers: Map<string, ContainerStatus>;
  #fields: Pick<RunnerStatus, 'nodeName' | 'startTime' | 'sandbox'> & PodFields;
  #seq = 0;
  #events = 0;

  constructor(pod: Pod, deps: PodRecorderDeps) {
    this.#deps = deps;
    const init = pod.spec?.initContainers ?? [];
    const reason = init.length > 0 ? 'PodInitializing' : 'ContainerCreating';
    const begin = (containers: readonly Container[]): Map<string, ContainerStatus> =>
      new Map(containers.map((container) => [container.name, waitingStatus(container, reason)]));
    this.#initContainers = begin(init);
    this.#containers = begin(pod.spec?.containers ?? []);
    this.#fields = { sandbox: 'Waiting', nodeName: deps.nodeName, startTime: rfc3339(deps.clock.nowMs()) };
  }

  /** The status of a container or init container; undefined when the pod has none of that name. */
  find(name: string): ContainerStatus | undefined {
    return this.#containers.get(name) ?? this.#initContainers.get(name);
  }

  /** As {@link find}, for a name of the pod's spec. */
  of(name: string): ContainerStatus {
    const status = this.find(name);
    if (status === undefined) throw new InterlinkError('Internal', `the pod has no container ${name}`);
    return status;
  }

  get initContainers(): readonly ContainerStatus[] {
    return [...this.#initContainers.values()];
  }

  get containers(): readonly ContainerStatus[] {
    return [...this.#containers.values()];
  }

  /** Changes fields of the pod and containers by name, and records the result with the events. */
  change(
    fields: PodFields,
    containers: Readonly<Record<string, Partial<ContainerStatus>>>,
    events: readonly NewEvent[],
  ): void {
    this.#fields = { ...this.#fields, ...fields };
    for (const [name, status] of Object.entries(containers)) {
      const map = this.#containers.has(name) ? this.#containers : this.#initContainers;
      map.set(name, { ...this.of(name), ...status });
    }
    const nowMs = this.#deps.clock.nowMs();
    this.#seq += 1;
    this.#deps.append({
      seq: this.#seq,
      time: new Date(nowMs).toISOString(),
      status: { ...this.#fields, containers: this.containers, initContainers: this.initContainers },
      events: events.map((event) => {
        this.#events += 1;
        return { id: `runner-${this.#events}`, time: rfc3339(nowMs), ...event };
      }),
    });
  }
}

function waitingStatus({ name, image = '' }: Container, reason: string): ContainerStatus {
  return {
    name,
    state: { waiting: { reason } },
    lastState: {},
    ready: false,
    restartCount: 0,
    image,
    imageID: '',
    started: false,
  };
}
