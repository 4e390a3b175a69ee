import type { ContainerStatus } from '../kube/types.ts';
import type { PodRef } from './pod-ref.ts';

/**
 * Where the pod's sandbox is: `Waiting` until the job has started, `Ready` while containers may run, `Gone` when the job has ended and
 * nothing of the pod runs any more. It never goes back. The node makes `PodReadyToStartContainers` and the terminal phase of it.
 */
export type SandboxState = 'Waiting' | 'Ready' | 'Gone';

/** What a kubelet would record as an event of the pod. `id` is unique within the pod; a receiver drops ids that it has seen. */
export interface PodEvent {
  readonly id: string;
  readonly type: 'Normal' | 'Warning';
  /** Kubelet reason such as `Created`, `Started`, `Killing`, `Failed`, `BackOff`. */
  readonly reason: string;
  readonly message: string;
  /** `spec.containers{c}` or `spec.initContainers{i}`; absent for the pod itself. */
  readonly fieldPath?: string;
  /** RFC 3339. */
  readonly time: string;
}

/**
 * What a site knows of one pod. Container statuses are Kubernetes' own objects, complete: one entry for each container and init
 * container of the spec, in its order.
 */
export interface PodStatus extends PodRef {
  /** The batch system's id of the job; absent until it is known. */
  readonly jobId?: string;
  /** The machine that runs the pod. */
  readonly nodeName?: string;
  /**
   * `spec.nodeName` of the pod: the virtual node that asked for it, absent when none did (`interlink run`). A node takes only pods with its own
   * name for left-overs of its own.
   */
  readonly virtualNode?: string;
  /** Address of the pod as other machines of the site reach it; absent until its first container was about to start. */
  readonly podIP?: string;
  readonly sandbox: SandboxState;
  /** When the runner took up the pod, RFC 3339. */
  readonly startTime?: string;
  /** Set when the pod as a whole failed for a cause of its own (`DeadlineExceeded`, `NodeLost`, `UnexpectedAdmissionError`). */
  readonly phase?: 'Failed';
  /** Why the pod waits (`Priority`, `Resources`) or why it failed as a whole; absent when containers tell everything. */
  readonly reason?: string;
  readonly message?: string;
  readonly containers: readonly ContainerStatus[];
  readonly initContainers: readonly ContainerStatus[];
  /** The newest events, oldest first; at most {@link MAX_EVENTS}. */
  readonly events?: readonly PodEvent[];
}

/** A status holds at most this many events. */
export const MAX_EVENTS = 64;

/** Whether nothing of the pod runs or will ever run. */
export function isOver(status: PodStatus): boolean {
  return status.sandbox === 'Gone';
}
