import { createHash } from 'node:crypto';
import { Backoff } from '../base/backoff.ts';
import type { Clock } from '../base/clock.ts';
import { isKind, messageOf } from '../base/errors.ts';
import type { Logger } from '../base/logger.ts';
import { Wakeable } from '../base/wakeable.ts';
import type { CollectFacts } from '../contract/collect-bundle.ts';
import { type CollectedVolumes, collectVolumes } from '../contract/collect-volumes.ts';
import type { PodBundle } from '../contract/pod-bundle.ts';
import { podRefOf } from '../contract/pod-ref.ts';
import type { PodEvent } from '../contract/pod-status.ts';
import { collectPullSecrets } from '../contract/pull-secrets.ts';
import type { Sidecar } from '../contract/sidecar.ts';
import { volumeDigest } from '../contract/volume-digest.ts';
import { isLiveVolume } from '../contract/volume-objects.ts';
import type { VolumeUpdate } from '../contract/volume-update.ts';
import { liveReferences } from '../kube/object-references.ts';
import type { Pod, Secret, Volume } from '../kube/types.ts';
import type { BundleSource } from './bundle-source.ts';
import type { ConcurrencyLimit } from './concurrency-limit.ts';
import type { VolumeSupport } from './volume-support.ts';

export interface PodVolumeFeedDeps {
  readonly sidecar: Pick<Sidecar, 'updateVolumes'>;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly random?: () => number;
  /** Shared by all pods of the node. */
  readonly updates: ConcurrencyLimit;
  /** Shared by all pods of the node. */
  readonly support: VolumeSupport;
  /** Follows what the pod's volumes show. @param changed called when some of that has changed */
  readonly openVolumes: (pod: Pod, changed: () => void) => BundleSource;
  readonly facts: () => Omit<CollectFacts, 'seenAt'>;
  /** The pod as it is now. */
  readonly pod: () => Pod;
  readonly record: (event: Omit<PodEvent, 'id' | 'time'>) => void;
  readonly seenAt: string;
}

/** What the site was given when the pod was created there, and where it came from. */
export interface CreatedContent extends Disposable {
  readonly bundle: PodBundle;
  /** Undefined when the pod was over before the site's answer came. */
  readonly source: BundleSource | undefined;
}

/** Changes that come together are sent together. */
const GATHER_MS = 200;
/** A new pod is looked at once within this time, when a burst of them is over: then it is known what the site can, and when tokens are to be renewed. */
const FIRST_MS = 10_000;
/** After a restart nobody knows what the site was given before: everything is sent once, within this time, so that not all pods ask for tokens together. */
const SPREAD_MS = 60_000;
/** Time after which a volume that cannot be made is tried again although nothing has told of a change. */
const FAULT_RETRY_MS = 60_000;
/** Time after which a site without the capability is asked again. */
const SUPPORT_RETRY_MS = 5 * 60_000;
const BACKOFF = { initialMs: 1_000, maxMs: 60_000 };

/**
 * Keeps the ConfigMap, Secret, downwardAPI and projected volumes and the image pull secrets of one pod as the cluster has them, from the moment that the site has the pod until its end: changed
 * objects, labels and annotations are sent to the site at once, tokens when they are to be renewed. Only volumes that look different are sent; what fails is
 * repeated for ever. A volume that cannot be made, or that the site refuses, keeps its content, and an event says why, once.
 */
export class PodVolumeFeed {
  readonly #deps: PodVolumeFeedDeps;
  readonly #wakeable: Wakeable;
  readonly #backoff: Backoff;
  readonly #hasLiveVolumes: boolean;
  readonly #hasPullSecrets: boolean;
  readonly #showsMetadata: boolean;
  /** Volume → digest of what the site has. */
  readonly #sent = new Map<string, string>();
  /** Digest of the image pull secrets that the site has. */
  #sentPullSecrets: string | undefined;
  /** Volume → what its event said. */
  readonly #faults = new Map<string, string>();
  readonly #ended = new AbortController();
  #source: BundleSource | undefined;
  #hasBegun = false;
  #isWoken = false;
  /** Monotonic time of the next attempt that nobody asks for. */
  #dueMs = Number.POSITIVE_INFINITY;

  constructor(deps: PodVolumeFeedDeps) {
    this.#deps = deps;
    this.#wakeable = new Wakeable(deps.clock);
    this.#backoff = new Backoff({ ...BACKOFF, ...(deps.random && { random: deps.random }) });
    const volumes = deps.pod().spec?.volumes ?? [];
    this.#hasLiveVolumes = volumes.some(isLiveVolume);
    this.#hasPullSecrets = liveReferences(deps.pod()).pullSecrets.size > 0;
    this.#showsMetadata = volumes.some(showsMetadata);
  }

  /** The site has the pod: with `created` just now, from this process; without, from an earlier one. Only the first call counts. */
  begin(created?: CreatedContent): void {
    if (this.#hasBegun || this.#ended.signal.aborted || !this.#hasContent) {
      created?.[Symbol.dispose]();
      return;
    }
    this.#hasBegun = true;
    const { clock, random = Math.random } = this.#deps;
    this.#dueMs = clock.monotonicMs() + (created ? FIRST_MS : SPREAD_MS) * random();
    if (created) {
      const { bundle, source } = created;
      for (const volume of bundle.pod.spec?.volumes ?? [])
        if (isLiveVolume(volume)) this.#sent.set(volume.name, volumeDigest(volume, bundle));
      this.#sentPullSecrets = pullSecretDigest(bundle.imagePullSecrets ?? []);
      source?.keepVolumes(bundle.pod);
      this.#source = source;
    }
    this.#wakeable.wake();
  }

  /** Something has changed that the pod refers to, maybe before {@link begin}. */
  changed(): void {
    this.#isWoken = true;
    this.#wakeable.wake();
  }

  /** The site answers again: what failed is worth another attempt now. */
  retry(): void {
    if (this.#backoff.attempts > 0) this.changed();
  }

  /** The pod's object has changed. */
  podChanged(before: Pod, now: Pod): void {
    if (this.#showsMetadata && !sameMetadata(before, now)) this.changed();
  }

  /** The pod is over; nothing is sent any more. */
  end(): void {
    this.#ended.abort();
    this.#wakeable.wake();
  }

  /** Until the pod is over or the signal aborts. */
  async run(signal: AbortSignal): Promise<void> {
    if (!this.#hasContent) return;
    const both = AbortSignal.any([signal, this.#ended.signal]);
    const { clock } = this.#deps;
    try {
      while (!both.aborted) {
        const waitMs = this.#dueMs - clock.monotonicMs();
        if (this.#hasBegun && this.#isWoken) await this.#gather(both);
        else if (!this.#hasBegun || waitMs > 0) {
          await this.#wakeable.sleep(waitMs === Number.POSITIVE_INFINITY ? undefined : waitMs, both);
          continue;
        }
        if (both.aborted) return;
        this.#isWoken = false;
        this.#dueMs = clock.monotonicMs() + ((await this.#attempt(both)) ?? Number.POSITIVE_INFINITY);
      }
    } finally {
      this.#release();
    }
  }

  /** What an attempt left to do, as the time until the next one. */
  async #attempt(signal: AbortSignal): Promise<number | undefined> {
    const { logger, record } = this.#deps;
    try {
      const waitMs = await this.#send(signal);
      if (this.#backoff.attempts > 0) logger.info('volumes of the pod are up to date again');
      this.#backoff.reset();
      return waitMs;
    } catch (error) {
      if (signal.aborted) return undefined;
      const fields = { err: messageOf(error), attempt: this.#backoff.attempts + 1 };
      if (this.#backoff.attempts === 0) logger.warn('volumes of the pod not updated, will retry', fields);
      else logger.debug('volumes of the pod not updated, will retry', fields);
      // Only the owner of the pod can do something about what the site will not take.
      if (this.#backoff.attempts === 0 && isKind(error, 'Invalid', 'TooLarge'))
        record({ type: 'Warning', reason: 'FailedMount', message: `volumes keep their content: ${messageOf(error)}` });
      return this.#backoff.next();
    }
  }

  async #send(signal: AbortSignal): Promise<number | undefined> {
    const { sidecar, support, updates, openVolumes, facts, seenAt, logger } = this.#deps;
    const pod = this.#deps.pod();
    const ref = podRefOf(pod);
    const call = { signal, session: ref.uid };
    if (!(await support.isOffered(call))) {
      this.#release();
      return SUPPORT_RETRY_MS;
    }
    await updates.run(async () => {
      this.#source ??= openVolumes(pod, () => this.changed());
      const collected = await collectVolumes(pod, this.#source, { ...facts(), seenAt }, { signal });
      const update = this.#updateOf(collected);
      const imagePullSecrets = this.#hasPullSecrets
        ? await collectPullSecrets(pod, this.#source, { signal })
        : undefined;
      const digest = imagePullSecrets && pullSecretDigest(imagePullSecrets);
      const isChanged = digest !== undefined && digest !== this.#sentPullSecrets;
      if (update.digests.size > 0 || isChanged) {
        const content = { ...update.content, ...(isChanged && imagePullSecrets && { imagePullSecrets }) };
        await sidecar.updateVolumes({ pod: ref, ...content }, call);
        logger.info('new contents sent', { volumes: [...update.digests.keys()], imagePullSecrets: isChanged });
        if (digest !== undefined) this.#sentPullSecrets = digest;
        for (const [name, digest] of update.digests) this.#sent.set(name, digest);
      }
      this.#report(collected);
    }, signal);
    const waits = [this.#untilRenewalMs(), this.#faults.size > 0 ? FAULT_RETRY_MS : undefined];
    return waits.reduce((least, ms) => (ms === undefined ? least : Math.min(ms, least ?? ms)), undefined);
  }

  #updateOf({ volumes }: CollectedVolumes): {
    readonly digests: ReadonlyMap<string, string>;
    readonly content: Omit<VolumeUpdate, 'pod'>;
  } {
    const digests = new Map<string, string>();
    const changed = volumes.filter(({ volume, objects }) => {
      const digest = volumeDigest(volume, objects);
      if (this.#sent.get(volume.name) === digest) return false;
      digests.set(volume.name, digest);
      return true;
    });
    const content = {
      volumes: changed.map(({ volume }) => volume.name),
      configMaps: distinct(changed.flatMap(({ objects }) => objects.configMaps)),
      secrets: distinct(changed.flatMap(({ objects }) => objects.secrets)),
      projectedVolumes: changed.flatMap(({ objects }) => objects.projectedVolumes),
    };
    return { digests, content };
  }

  /** An event for each volume whose fault is new, in a kubelet's words. */
  #report({ faults }: CollectedVolumes): void {
    const now = new Map(faults.map(({ name, message }) => [name, message]));
    for (const [name, message] of now)
      if (this.#faults.get(name) !== message)
        this.#deps.record({
          type: 'Warning',
          reason: 'FailedMount',
          message: `MountVolume.SetUp failed for volume ${JSON.stringify(name)} : ${message}`,
        });
    this.#faults.clear();
    for (const [name, message] of now) this.#faults.set(name, message);
  }

  get #hasContent(): boolean {
    return this.#hasLiveVolumes || this.#hasPullSecrets;
  }

  #untilRenewalMs(): number | undefined {
    const renewMs = this.#source?.renewMs;
    return renewMs === undefined ? undefined : Math.max(0, renewMs - this.#deps.clock.monotonicMs());
  }

  async #gather(signal: AbortSignal): Promise<void> {
    try {
      await this.#deps.clock.sleep(GATHER_MS, { signal });
    } catch (error) {
      if (!signal.aborted) throw error;
    }
  }

  #release(): void {
    this.#source?.[Symbol.dispose]();
    this.#source = undefined;
  }
}

function pullSecretDigest(secrets: readonly Secret[]): string {
  const content = secrets.map(({ metadata, data }) => [metadata?.name, Object.entries(data ?? {}).toSorted()]);
  return createHash('sha256').update(JSON.stringify(content)).digest('base64');
}

/** Whether labels or annotations of the pod are files in the volume. */
function showsMetadata({ downwardAPI, projected }: Volume): boolean {
  return [downwardAPI, ...(projected?.sources ?? []).map((source) => source.downwardAPI)]
    .flatMap((source) => source?.items ?? [])
    .some(({ fieldRef }) => /^metadata\.(labels|annotations)/.test(fieldRef?.fieldPath ?? ''));
}

function sameMetadata({ metadata: a = {} }: Pod, { metadata: b = {} }: Pod): boolean {
  return sameMap(a.labels, b.labels) && sameMap(a.annotations, b.annotations);
}

type TextMap = Readonly<Record<string, string>>;

function sameMap(a: TextMap = {}, b: TextMap = {}): boolean {
  if (a === b) return true;
  const keys = Object.keys(a);
  return keys.length === Object.keys(b).length && keys.every((key) => Object.hasOwn(b, key) && a[key] === b[key]);
}

function distinct<T extends { readonly metadata?: { readonly name?: string } }>(list: readonly T[]): readonly T[] {
  return [...new Map(list.map((item) => [item.metadata?.name, item])).values()];
}
