import type { PodStatus } from '../../contract/pod-status.ts';
import type { SubmitPlan } from './batch-system.ts';

/** What a status needs to know of the pod's spec; kept so that `pod.json`, which holds secrets, need not be read again. */
export interface PodOutline {
  readonly containers: readonly ContainerOutline[];
  readonly initContainers: readonly ContainerOutline[];
  readonly gracePeriodSeconds: number;
  readonly virtualNode?: string;
}

/** What is kept of a container for its status. */
export interface ContainerOutline {
  readonly name: string;
  readonly image: string;
}

/** The wish for a pod's end. */
export interface StopWish {
  readonly gracePeriodSeconds: number;
  readonly requestedMs: number;
}

/**
 * What the journal holds of a pod. `accepted`: taken, surely not submitted. `submitting`: the submit command may have run. `submitted`: the job id
 * is known. `ended`: the final status is known. `deleted`: forgotten but for the UID, so that a late create is refused.
 */
export type JobState = 'accepted' | 'submitting' | 'submitted' | 'ended' | 'deleted';

/** Journal record of one pod; immutable, replaced as a whole. Holds no secret (the specification of the job is kept beside it): of the channel token only its SHA-256. */
export interface JobRecord {
  readonly uid: string;
  readonly namespace: string;
  readonly name: string;
  readonly state: JobState;
  /** SHA-256 of what was asked for; tells a repeated create from a different one. */
  readonly hash: string;
  readonly outline: PodOutline;
  readonly plan: SubmitPlan;
  /** Submissions begun so far. */
  readonly attempt: number;
  readonly createdMs: number;
  readonly submittedMs?: number;
  readonly jobId?: string;
  readonly tokenHash?: string;
  readonly stop?: StopWish;
  readonly endedMs?: number;
  /** Whether the batch system no longer holds the job. */
  readonly gone: boolean;
  readonly final?: PodStatus;
}
