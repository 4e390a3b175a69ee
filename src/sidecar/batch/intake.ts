import { createHash, randomBytes } from 'node:crypto';
import type { Clock } from '../../base/clock.ts';
import { InterlinkError, isKind } from '../../base/errors.ts';
import type { ChannelSettings, JobSpec, RuntimeSettings } from '../../contract/job-directory.ts';
import type { PodBundle } from '../../contract/pod-bundle.ts';
import type { PodRef } from '../../contract/pod-ref.ts';
import { admitBundle } from './admit-bundle.ts';
import type { BatchSystem } from './batch-system.ts';
import { contentHash } from './content-hash.ts';
import type { Failpoints } from './failpoints.ts';
import { imageFaults } from './image-faults.ts';
import type { JobFiles } from './job-files.ts';
import type { JobTable } from './job-table.ts';
import type { PodJob } from './pod-job.ts';
import { podOutline } from './pod-outline.ts';
import type { SitePolicy } from './site-policy.ts';
import { Turns } from './turns.ts';

export interface IntakeDeps {
  readonly system: BatchSystem;
  readonly files: JobFiles;
  readonly table: JobTable;
  /** Where runners reach the live channel; undefined without one. */
  readonly channel: (() => Omit<ChannelSettings, 'token'>) | undefined;
  readonly clock: Clock;
  readonly failpoint: Failpoints;
  /** Called with each new pod once it is durable. */
  readonly onAccepted: (job: PodJob) => void;
}

export interface IntakeOptions {
  readonly runtime: RuntimeSettings;
  readonly scratch: readonly string[];
  readonly policy: SitePolicy;
}

/** Directories are made a few at a time, so that the first of a burst is submitted while the others are still being written. */
const DIRECTORIES = 32;

/** Takes pods: decides whether a create is new, repeated or refused, and makes new ones durable. */
export class Intake {
  readonly #deps: IntakeDeps;
  readonly #options: IntakeOptions;
  readonly #directories = new Turns(DIRECTORIES);
  readonly #running = new Map<string, { readonly hash: string; readonly job: Promise<PodJob> }>();

  constructor(deps: IntakeDeps, options: IntakeOptions) {
    this.#deps = deps;
    this.#options = options;
  }

  /**
   * The job of the pod, new or known; concurrent calls share one.
   * @throws Conflict for a deleted UID or another content, Invalid when the pod can never run here, Unavailable when it cannot be made durable.
   */
  accept(ref: PodRef, bundle: PodBundle): Promise<PodJob> {
    const { table } = this.#deps;
    const { namespace, name, uid } = ref;
    const hash = contentHash(bundle);
    const known = table.find(uid);
    const running = this.#running.get(uid);
    if (table.isTombstone(uid) || known?.record.stop)
      throw new InterlinkError('Conflict', `pod ${namespace}/${name} (${uid}) was deleted here`, {
        code: 'sidecar.deleted',
      });
    if ((known?.record.hash ?? running?.hash ?? hash) !== hash)
      throw new InterlinkError(
        'Conflict',
        `pod ${namespace}/${name} (${uid}) is known with another content; delete it first`,
        { code: 'sidecar.changed' },
      );
    if (known) return Promise.resolve(known);
    if (running) return running.job;
    const job = this.#take(ref, bundle, hash).finally(() => this.#running.delete(uid));
    this.#running.set(uid, { hash, job });
    return job;
  }

  /** Resolves when no create of the pod is under way any more, whatever became of it. */
  async settled(uid: string): Promise<void> {
    await this.#running.get(uid)?.job.catch(() => {});
  }

  async #take(ref: PodRef, bundle: PodBundle, hash: string): Promise<PodJob> {
    const { system, files, table, channel, clock, failpoint, onAccepted } = this.#deps;
    const { runtime, scratch, policy } = this.#options;
    const siteVolumes = admitBundle(bundle, policy);
    const plan = system.plan(bundle);
    const settings = { ...runtime, ...plan.runtime };
    const faults = imageFaults(bundle.pod, settings);
    if (faults.length > 0)
      throw new InterlinkError('Invalid', `pod ${ref.namespace}/${ref.name} cannot run here: ${faults.join('; ')}`, {
        code: 'sidecar.inadmissible',
      });
    const token = randomBytes(32).toString('base64url');
    const job: JobSpec = {
      version: 1,
      bundle,
      runtime: settings,
      ...(channel ? { channel: { ...channel(), token } } : {}),
      scratch,
      ...(Object.keys(siteVolumes).length === 0 ? {} : { siteVolumes }),
      ...(plan.timeLimitSeconds === undefined ? {} : { timeLimitSeconds: plan.timeLimitSeconds }),
    };
    const spec = JSON.stringify(job);
    try {
      await this.#directories.take(() => files.prepare(ref.uid, spec, plan.preExec));
      await failpoint('directory-written');
      const taken = await table.add(
        {
          ...ref,
          state: 'accepted',
          hash,
          outline: podOutline(bundle.pod),
          plan,
          attempt: 0,
          createdMs: clock.nowMs(),
          gone: false,
          ...(channel ? { tokenHash: createHash('sha256').update(token).digest('hex') } : {}),
        },
        spec,
      );
      await failpoint('accepted');
      onAccepted(taken);
      return taken;
    } catch (error) {
      // It holds secrets of a pod that nobody knows.
      if (!isKind(error, 'Conflict')) await files.remove(ref.uid);
      throw error;
    }
  }
}
