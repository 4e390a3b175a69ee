import type { RuntimeSettings } from '../../contract/job-directory.ts';
import type { Taint } from '../../kube/types.ts';
import type { SitePolicy } from './site-policy.ts';

/** Numbers and choices of a batch engine; all durations are milliseconds. */
export interface EngineOptions {
  /** Name and version of the implementation, for `GET /capabilities`. */
  readonly name: string;
  readonly version: string;
  readonly pollIntervalMs: number;
  readonly soonMs: number;
  readonly submitConcurrency: number;
  /** Time that a create waits for its job id before it answers `Unavailable`; the submission goes on. */
  readonly createWaitMs: number;
  readonly settleMs: number;
  readonly lostGraceMs: number;
  readonly recordGraceMs: number;
  readonly lingerMs: number;
  readonly stopMarginMs: number;
  readonly retentionMs: number;
  readonly tombstoneMs: number;
  readonly heartbeatMs: number;
  readonly sweepMs: number;
  readonly orphans: { readonly cancel: boolean; readonly graceMs: number };
  readonly runtime: RuntimeSettings;
  /** Scratch directories on the workers, the best first; `$NAME` is a variable of the job. */
  readonly scratch: readonly string[];
  /** What pods may have. */
  readonly policy: SitePolicy;
  /** Pods that this site takes at a time, for the node's capacity. */
  readonly pods?: number;
  /** Taints that the node shall have; absent leaves them alone. */
  readonly taints?: readonly Taint[];
}
