import type { Clock } from '../../base/clock.ts';
import { InterlinkError, messageOf } from '../../base/errors.ts';
import type { Logger } from '../../base/logger.ts';
import type { CapabilityDocument } from '../../contract/capabilities.ts';
import type { ChannelSettings, RunnerRecord, SidecarMessage, StreamRequest } from '../../contract/job-directory.ts';
import type { PodBundle } from '../../contract/pod-bundle.ts';
import { podRefOf } from '../../contract/pod-ref.ts';
import type { PodStatus } from '../../contract/pod-status.ts';
import type { CallOptions, CreateResult, LogRequest, PingResult, Sidecar, WatchEvent } from '../../contract/sidecar.ts';
import type { VolumeUpdate } from '../../contract/volume-update.ts';
import type { Pod } from '../../kube/types.ts';
import type { ChannelHost } from '../channel-server.ts';
import { awaitJobId } from './await-job-id.ts';
import type { BatchSystem } from './batch-system.ts';
import { CapacityCache } from './capacity-cache.ts';
import type { EngineOptions } from './engine-options.ts';
import type { Failpoints } from './failpoints.ts';
import { Intake } from './intake.ts';
import type { JobFiles } from './job-files.ts';
import { JobTable } from './job-table.ts';
import type { Journal } from './journal.ts';
import { Judge } from './judge.ts';
import type { PodJob } from './pod-job.ts';
import { Poller } from './poller.ts';
import { readLogs } from './read-logs.ts';
import { runRecordSweep } from './record-sweep.ts';
import { Retention } from './retention.ts';
import { Stopper, stopRequest } from './stopper.ts';
import { Submitter } from './submitter.ts';
import { VolumeIntake } from './volume-intake.ts';
import { WatchHub } from './watch-hub.ts';

/** The live channel as the engine uses it. */
export interface EngineChannel {
  /** Lets the runners of `host` connect. */
  listen(host: ChannelHost): Promise<void>;
  /** Where runners reach it; valid once it listens. */
  settings(): Omit<ChannelSettings, 'token'>;
  send(uid: string, message: SidecarMessage): boolean;
  openStream(uid: string, request: StreamRequest, signal: AbortSignal): Promise<AsyncIterable<Uint8Array>>;
}

export interface EngineDeps {
  readonly system: BatchSystem;
  readonly journal: Journal;
  readonly files: JobFiles;
  readonly channel: EngineChannel | undefined;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly failpoint: Failpoints;
}

const DEFAULT_GRACE_SECONDS = 30;

/**
 * A sidecar over any batch system. The journal holds every intent before it is acted on, so the process may be killed at any moment; stopping it stops no pod.
 * At most one job per pod UID is ever submitted without first asking the batch system by tag.
 */
export class BatchEngine implements Sidecar, ChannelHost {
  readonly #deps: EngineDeps;
  readonly #options: EngineOptions;
  readonly #stop = new AbortController();
  readonly #background = new Set<Promise<void>>();
  readonly #hub: WatchHub;
  readonly #table: JobTable;
  readonly #intake: Intake;
  readonly #volumes: VolumeIntake;
  readonly #capacity: CapacityCache;
  readonly #submitter: Submitter;
  readonly #poller: Poller;
  readonly #stopper: Stopper;
  readonly #failed = Promise.withResolvers<never>();

  constructor(deps: EngineDeps, options: EngineOptions) {
    this.#deps = deps;
    this.#options = options;
    const { system, files, clock, logger, failpoint, channel } = deps;
    const { signal } = this.#stop;
    const spawn = (work: Promise<void>): void => this.#attempt(work);
    const jobs = (): Iterable<PodJob> => this.#table.all();
    const pollSoon = (): void => this.#poller.soon();
    this.#failed.promise.catch(() => {});
    this.#hub = new WatchHub({ clock, heartbeatMs: options.heartbeatMs, snapshot: () => this.#statuses() });
    const publish = (item: PodStatus): void => this.#hub.publish({ type: 'STATUS', item });
    this.#table = new JobTable({ ...deps, publish, signal });
    const onSubmitted = (): void => this.#poller.notice();
    const onFailure = (error: unknown): void => this.#failed.reject(error);
    const forget = (job: PodJob): Promise<void> => this.#table.forget(job);
    this.#submitter = new Submitter(
      { system, files, clock, logger, failpoint, signal, pollSoon, onSubmitted, forget, onFailure },
      options.submitConcurrency,
    );
    this.#intake = new Intake(
      {
        system,
        files,
        table: this.#table,
        channel: channel && (() => channel.settings()),
        clock,
        failpoint,
        onAccepted: (job) => this.#submitter.enqueue(job),
      },
      options,
    );
    this.#volumes = new VolumeIntake({ files, send: (uid, message) => channel?.send(uid, message) ?? false });
    this.#capacity = new CapacityCache(() => system.capacity(signal), clock);
    const find = (uid: string): PodJob | undefined => this.#table.find(uid);
    const isTombstone = (uid: string): boolean => this.#table.isTombstone(uid);
    const judge = new Judge(
      { system, files, submitter: this.#submitter, find, isTombstone, clock, logger, signal, spawn },
      options,
    );
    this.#poller = new Poller(
      { system, jobs, judge: (listing, asked, startedMs) => judge.judge(listing, asked, startedMs), clock, logger },
      { intervalMs: options.pollIntervalMs, soonMs: options.soonMs },
    );
    this.#stopper = new Stopper(
      {
        system,
        pollSoon,
        clock,
        logger,
        signal,
        spawn,
        send: (uid, stop) => channel?.send(uid, { type: 'stop', stop }) ?? false,
      },
      { marginMs: options.stopMarginMs },
    );
  }

  /** Takes up the pods of the journal and begins to work. Call it once, before anything else. */
  async start(): Promise<void> {
    const { clock, system, logger, files, channel } = this.#deps;
    await this.#table.restore();
    await channel?.listen(this);
    for (const job of this.#table.all()) {
      const { state, stop, attempt, gone, jobId } = job.record;
      // The runner may have ended the pod before the id was known.
      if (state === 'submitting' || (state === 'ended' && attempt > 0 && jobId === undefined && !gone))
        job.doubtSubmission('the sidecar was restarted during the submission');
      if (state === 'accepted') this.#submitter.enqueue(job);
      if (!stop || gone) continue;
      // The crash may have come between the journal and the file.
      if (!job.over) await files.writeStop(job.uid, stopRequest(stop));
      this.#stopper.begin(job);
    }
    const { signal } = this.#stop;
    this.#keep(this.#poller.run(signal));
    this.#keep(runRecordSweep({ jobs: () => this.#table.all(), clock, logger }, this.#options.pollIntervalMs, signal));
    const retention = new Retention(
      {
        jobs: () => this.#table.all(),
        files,
        bury: (job) => this.#bury(job),
        dropTombstones: (nowMs) => this.#table.dropTombstones(nowMs - this.#options.tombstoneMs),
        clock,
        logger,
      },
      this.#options,
    );
    this.#keep(retention.run(signal));
    const stopListening = system.onChange?.(() => this.#poller.soon());
    if (stopListening) signal.addEventListener('abort', stopListening, { once: true });
  }

  /** Rejects when a part of the engine has failed for good; never resolves. */
  get failed(): Promise<never> {
    return this.#failed.promise;
  }

  async capabilities(): Promise<CapabilityDocument> {
    const { name, version } = this.#options;
    return { apiVersion: 'interlink/v1', name, version, capabilities: ['watch', 'logs.follow', 'volumes'] };
  }

  async create(bundle: PodBundle, { signal }: CallOptions): Promise<CreateResult> {
    signal.throwIfAborted();
    const ref = podRefOf(bundle.pod);
    const isKnown = this.#table.find(ref.uid) !== undefined;
    const job = await this.#intake.accept(ref, bundle);
    if (isKnown) await this.#volumes.repeat(job, bundle);
    const jobId = await awaitJobId(
      job,
      this.#options.createWaitMs,
      this.#deps.clock,
      AbortSignal.any([signal, this.#stop.signal]),
    );
    return { uid: ref.uid, jobId };
  }

  async delete(pod: Pod, { signal }: CallOptions): Promise<void> {
    signal.throwIfAborted();
    const ref = podRefOf(pod);
    // A create that is just being taken is let through, so that there is one order of events.
    await this.#intake.settled(ref.uid);
    const job = this.#table.find(ref.uid);
    if (!job) {
      if (!this.#table.isTombstone(ref.uid)) await this.#table.bury(ref);
      return;
    }
    const { clock, files, failpoint } = this.#deps;
    const gracePeriodSeconds = Math.max(
      0,
      pod.metadata?.deletionGracePeriodSeconds ?? pod.spec?.terminationGracePeriodSeconds ?? DEFAULT_GRACE_SECONDS,
    );
    const wish = { gracePeriodSeconds, requestedMs: clock.nowMs() };
    const before = job.record.stop;
    if (before && deadline(before) <= deadline(wish)) return;
    await job.update({ stop: wish });
    await failpoint('stop-written');
    if (!job.over) await files.writeStop(job.uid, stopRequest(wish));
    if (!job.record.gone) this.#stopper.begin(job);
    this.#submitter.withdraw(job);
  }

  async status(pods: readonly Pod[]): Promise<readonly PodStatus[]> {
    return pods.flatMap((pod) => this.#table.find(pod.metadata?.uid ?? '')?.status() ?? []);
  }

  async logs(request: LogRequest, { signal }: CallOptions): Promise<AsyncIterable<Uint8Array>> {
    const { uid, namespace, name } = request;
    const job = this.#table.find(uid);
    if (!job) throw new InterlinkError('NotFound', `pod "${name}" not found in namespace "${namespace}" at the site`);
    const { channel, clock, files } = this.#deps;
    const openStream = channel && ((ask: StreamRequest, abort: AbortSignal) => channel.openStream(uid, ask, abort));
    return readLogs(job, request, { clock, directory: files.directory(uid), openStream }, signal);
  }

  async ping({ signal }: CallOptions): Promise<PingResult> {
    const { pods, taints } = this.#options;
    const resources = await this.#capacity.get(signal);
    return {
      status: 'ok',
      resources: { ...resources, ...(pods === undefined ? {} : { pods: String(pods) }) },
      ...(taints ? { taints } : {}),
    };
  }

  async updateVolumes(update: VolumeUpdate, { signal }: CallOptions): Promise<void> {
    signal.throwIfAborted();
    const { namespace, name, uid } = update.pod;
    await this.#intake.settled(uid);
    const job = this.#table.find(uid);
    if (!job)
      throw new InterlinkError('NotFound', `pod "${name}" not found in namespace "${namespace}" at the site`, {
        code: 'sidecar.unknown',
      });
    await this.#volumes.update(job, update);
  }

  watch({ signal }: CallOptions): AsyncIterable<WatchEvent> {
    return this.#hub.subscribe(AbortSignal.any([signal, this.#stop.signal]));
  }

  /** Ends the work of this process; every pod goes on. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort(
      new InterlinkError('Unavailable', 'the sidecar is stopping; try again', { code: 'sidecar.stopping' }),
    );
    this.#deps.system.close?.();
    await Promise.allSettled(this.#background);
  }

  tokenHash(uid: string): string | undefined {
    const record = this.#table.find(uid)?.record;
    return record?.state === 'ended' && record.gone ? undefined : record?.tokenHash;
  }

  lastSeq(uid: string): number {
    return this.#table.find(uid)?.lastSeq ?? 0;
  }

  record(uid: string, record: RunnerRecord): void {
    const job = this.#table.find(uid);
    if (job) this.#attempt(job.receive(record));
  }

  connected(uid: string, isConnected: boolean): void {
    const job = this.#table.find(uid);
    if (!job) return;
    job.connected = isConnected;
    job.announce();
    // What the runner wrote while the connection was breaking.
    if (!isConnected && !job.over) this.#attempt(job.readRecords());
  }

  async #bury(job: PodJob): Promise<void> {
    await this.#table.bury(job.record);
    await this.#deps.failpoint('forgotten');
    this.#hub.publish({ type: 'DELETED', uid: job.uid });
  }

  #statuses(): readonly PodStatus[] {
    return [...this.#table.all()].map((job) => job.status());
  }

  /** Runs a loop until the end of the engine; if it ends before, the engine has failed. */
  #keep(loop: Promise<void>): void {
    this.#track(loop, (error) => this.#failed.reject(error));
  }

  /** Runs work on one pod that nobody awaits; a failure (an unreadable job directory) is logged, and the next poll looks again. */
  #attempt(work: Promise<void>): void {
    this.#track(work, (error) => this.#deps.logger.warn('work on a pod failed', { err: messageOf(error) }));
  }

  #track(work: Promise<void>, onFailure: (error: unknown) => void): void {
    const guarded = work
      .catch((error: unknown) => {
        if (!this.#stop.signal.aborted) onFailure(error);
      })
      .finally(() => this.#background.delete(guarded));
    this.#background.add(guarded);
  }
}

function deadline(wish: { readonly requestedMs: number; readonly gracePeriodSeconds: number }): number {
  return wish.requestedMs + wish.gracePeriodSeconds * 1000;
}
