import type { CommandResult } from '../../base/command.ts';
import type { PodBundle } from '../../contract/pod-bundle.ts';
import type { SiteResources } from '../../contract/sidecar.ts';
import type { BatchJob, JobListing, KnownJob, SubmitOutcome, SubmitPlan, SubmitRequest } from './batch-system.ts';

/** One command of the batch system. Arguments reach it as they are; no shell is involved. */
export type Argv = readonly [string, ...string[]];

/**
 * The command language of one batch system: pure functions from what is wanted to arguments and from output to facts. Adding a batch system is writing one
 * of these. A reader throws when the command failed or its output is not what it should be, naming the command and what came.
 */
export interface BatchDialect {
  readonly name: string;
  /** @throws Invalid when the pod can never be submitted here. */
  plan(bundle: PodBundle): SubmitPlan;
  submit(request: SubmitRequest): Argv;
  /** Decides between taken, unknown and (thrown) refused. Also called for a command that was killed by its time limit. */
  readSubmit(result: CommandResult): SubmitOutcome;
  /** One question for all jobs with our tag. */
  list(): Argv;
  readList(result: CommandResult): JobListing;
  /** One question to accounting for the given jobs. */
  lookUp(jobs: readonly KnownJob[]): Argv;
  /** Undefined when the site has no accounting. */
  readLookUp(result: CommandResult): readonly BatchJob[] | undefined;
  terminate(jobId: string): Argv;
  cancel(jobId: string, onlyPending: boolean): Argv;
  /** Succeeds too for a job that has ended. */
  checkControl(result: CommandResult): void;
  capacity(): Argv;
  readCapacity(result: CommandResult): SiteResources;
}
