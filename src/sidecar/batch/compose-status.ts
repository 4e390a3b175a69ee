import type { RunnerStatus } from '../../contract/job-directory.ts';
import type { PodEvent, PodStatus } from '../../contract/pod-status.ts';
import type { ContainerStatus } from '../../kube/types.ts';
import type { BatchJob } from './batch-system.ts';
import type { ContainerOutline, JobRecord } from './job-record.ts';

/** All that is known of a live pod. */
export interface KnownFacts {
  readonly record: JobRecord;
  readonly runner: RunnerStatus | undefined;
  readonly events: readonly PodEvent[];
  readonly batch: BatchJob | undefined;
}

/** The pod's status while it is not over: the runner's word where there is one, else why the job waits. */
export function composeStatus(facts: KnownFacts): PodStatus {
  const { runner } = facts;
  if (runner) return fromRunner(facts, runner);
  const { reason, message } = waitingReason(facts);
  const { outline } = facts.record;
  const first = (container: ContainerOutline) => waitingContainer(container, reason, message);
  const nodeName = facts.batch?.phase === 'running' ? facts.batch.nodeName : undefined;
  return {
    ...identity(facts.record),
    ...(nodeName === undefined ? {} : { nodeName }),
    sandbox: 'Waiting',
    ...(reason === 'ContainerCreating' ? {} : { reason, ...(message === undefined ? {} : { message }) }),
    initContainers: outline.initContainers.map(first),
    containers: outline.containers.map((container) =>
      outline.initContainers.length === 0
        ? first(container)
        : waitingContainer(container, 'PodInitializing', undefined),
    ),
  };
}

/** What the runner reported, under the pod's identity. */
export function fromRunner(facts: Pick<KnownFacts, 'record' | 'events'>, runner: RunnerStatus): PodStatus {
  return {
    ...identity(facts.record),
    ...runner,
    ...(facts.events.length === 0 ? {} : { events: facts.events }),
  };
}

/** The fields of a status that never change. */
export function identity(record: JobRecord): Pick<PodStatus, 'namespace' | 'name' | 'uid' | 'jobId' | 'virtualNode'> {
  const { namespace, name, uid, jobId, outline } = record;
  return {
    namespace,
    name,
    uid,
    ...(jobId === undefined ? {} : { jobId }),
    ...(outline.virtualNode === undefined ? {} : { virtualNode: outline.virtualNode }),
  };
}

/** A container that has not started. */
export function waitingContainer(
  { name, image }: ContainerOutline,
  reason: string,
  message: string | undefined,
): ContainerStatus {
  return {
    name,
    image,
    imageID: '',
    ready: false,
    restartCount: 0,
    started: false,
    state: { waiting: { reason, ...(message === undefined ? {} : { message }) } },
  };
}

function waitingReason({ record, batch }: KnownFacts): { reason: string; message: string | undefined } {
  if (batch?.phase === 'running') return { reason: 'ContainerCreating', message: undefined };
  if (batch?.waiting) return batch.waiting;
  return record.jobId === undefined
    ? { reason: 'Submitting', message: 'the job is being submitted to the batch system' }
    : { reason: 'Queued', message: `job ${record.jobId} has been taken by the batch system` };
}
