import type { JobDirectory, RuntimeSettings } from '../../contract/job-directory.ts';
import type { PodBundle } from '../../contract/pod-bundle.ts';
import type { SiteResources } from '../../contract/sidecar.ts';

/**
 * How one pod is handed to the batch system, decided once at creation and journalled; plain JSON and free of secrets.
 */
export interface SubmitPlan {
  /** What the batch system's submit command is told, e.g. `--cpus-per-task=2`; each element is one argument. */
  readonly options: readonly string[];
  /** Seconds after which the batch system kills the job, when that is known. */
  readonly timeLimitSeconds?: number;
  /** Seconds before that limit at which the runner gets SIGTERM, when that was asked for. */
  readonly warningSeconds?: number;
  /** Shell text of the pod that the site's policy lets run in the job before the runner. */
  readonly preExec?: string;
  /** What the pod's annotations change in the site's runtime settings. */
  readonly runtime?: Partial<RuntimeSettings>;
}

/** A job as its sidecar knows it. */
export interface KnownJob {
  readonly uid: string;
  readonly jobId: string;
  readonly directory: JobDirectory;
  /** Whether its end has been asked for; such a job must not be started any more. */
  readonly stopping: boolean;
  readonly submittedMs: number;
}

/** One job to submit. */
export interface SubmitRequest {
  readonly uid: string;
  readonly directory: JobDirectory;
  /** Absolute path of the constant batch script; it expects the job directory as working directory. */
  readonly script: string;
  readonly plan: SubmitPlan;
}

/** What is known after the submit command. A refusal is thrown, as nothing was taken then. */
export type SubmitOutcome =
  | { readonly kind: 'submitted'; readonly jobId: string }
  /** The job may or may not have been taken; the engine asks by tag before it does anything else. */
  | { readonly kind: 'unknown'; readonly evidence: string };

/** How a job ended as far as the batch system knows. */
export interface BatchEnd {
  /** Exit code for containers whose own end was never recorded; 0 only when the batch system saw the job succeed. */
  readonly exitCode: number;
  readonly signal?: number;
  /** `reason` of the terminated containers. */
  readonly containerReason: string;
  /** Set when the pod as a whole failed for this cause. */
  readonly podReason?: string;
  /** One sentence for `kubectl describe`. */
  readonly message: string;
}

/** One job as the batch system shows it. */
export interface BatchJob {
  readonly jobId: string;
  /** From our tag; absent when the source does not show tags. */
  readonly uid?: string;
  /** `unknown`: a state that the dialect does not know; the last known one stays. */
  readonly phase: 'pending' | 'running' | 'ended' | 'unknown';
  /** The batch system's own word. */
  readonly state: string;
  /** Why it waits, as a waiting reason of Kubernetes (`Resources`, `Held`), and in a sentence. */
  readonly waiting?: { readonly reason: string; readonly message: string };
  readonly nodeName?: string;
  readonly timeLimitSeconds?: number;
  /** Whether it ended without ever having been started. */
  readonly neverRan?: boolean;
  /** Whether the submit command failed for this job all the same: Slurm keeps a record of jobs that it refused. */
  readonly refused?: boolean;
  /** Set when `phase` is `ended`. */
  readonly end?: BatchEnd;
}

/** What the queue, or accounting, shows at one moment. */
export interface JobListing {
  readonly jobs: readonly BatchJob[];
  /** False when something in the answer could not be read: what it shows is true, but absence from it means nothing. */
  readonly complete: boolean;
}

/**
 * One batch system as the engine uses it. Every call may be repeated, takes an abort signal, and fails with `Unavailable`, `DeadlineExceeded`
 * or `NotFound` (its program is missing) when the batch system does not answer; such a failure changes no pod.
 */
export interface BatchSystem {
  readonly name: string;
  /** @throws Invalid when the pod can never be submitted here; the message names the field or annotation. */
  plan(bundle: PodBundle): SubmitPlan;
  /**
   * Hands the job over; its intent is durable already. @throws Invalid when the batch system refused it for good, TooManyRequests or Unavailable
   * when it refused it for now.
   */
  submit(request: SubmitRequest, signal: AbortSignal): Promise<SubmitOutcome>;
  /** Every job with our tag, in one question whatever their number. */
  list(known: readonly KnownJob[], signal: AbortSignal): Promise<JobListing>;
  /** What accounting says of jobs that the queue no longer shows; undefined without accounting. */
  lookUp(jobs: readonly KnownJob[], signal: AbortSignal): Promise<readonly BatchJob[] | undefined>;
  /** Sends SIGTERM to the runner alone. Succeeds for a job that has ended. */
  terminate(job: KnownJob, signal: AbortSignal): Promise<void>;
  /** Removes the job: with `onlyPending` only while it has not started. Succeeds for a job that has ended. */
  cancel(job: KnownJob, onlyPending: boolean, signal: AbortSignal): Promise<void>;
  /** Totals that this sidecar's pods may use. */
  capacity(signal: AbortSignal): Promise<SiteResources>;
  /** Begins nothing more; jobs go on. */
  close?(): void;
  /** Calls `listener` when a job has changed, where the batch system can tell; returns how to stop that. */
  onChange?(listener: () => void): () => void;
}
