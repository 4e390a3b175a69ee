import { isDeepStrictEqual } from 'node:util';
import { type Clock, rfc3339, systemClock } from '../../src/base/clock.ts';
import { InterlinkError } from '../../src/base/errors.ts';
import { CAPABILITIES, type CapabilityDocument } from '../../src/contract/capabilities.ts';
import type { PodBundle } from '../../src/contract/pod-bundle.ts';
import { type PodRef, podRefOf } from '../../src/contract/pod-ref.ts';
import type { PodStatus, SandboxState } from '../../src/contract/pod-status.ts';
import type {
  CallOptions,
  CreateResult,
  LogRequest,
  PingResult,
  Sidecar,
  WatchEvent,
} from '../../src/contract/sidecar.ts';
import { isLiveVolume, volumeObjects } from '../../src/contract/volume-objects.ts';
import type { VolumeUpdate } from '../../src/contract/volume-update.ts';
import type { Container, ContainerState, ContainerStatus, Pod } from '../../src/kube/types.ts';

export interface MemorySidecarOptions {
  readonly clock?: Clock;
  readonly name?: string;
  readonly capabilities?: readonly string[];
  readonly heartbeatMs?: number;
}

interface LogLine {
  readonly timeMs: number;
  readonly text: string;
}

interface Job {
  bundle: PodBundle;
  readonly ref: PodRef;
  readonly jobId: string;
  readonly states: Map<string, ContainerState>;
  readonly logs: Map<string, LogLine[]>;
  sandbox: SandboxState;
  startTime?: string;
  reason?: string;
}

export type CallName = 'capabilities' | 'create' | 'delete' | 'status' | 'logs' | 'updateVolumes' | 'ping' | 'watch';

/** A sidecar that keeps pods in memory and runs nothing: the test says what happens to them. It obeys every rule of the contract. */
export class MemorySidecar implements Sidecar {
  /** Every call that was made, in order, with the UIDs that it was about. */
  readonly calls: { readonly name: CallName; readonly uids: readonly string[]; readonly session?: string }[] = [];
  /** Every update of volumes that arrived, in order. */
  readonly updates: VolumeUpdate[] = [];
  /** What `ping` answers. */
  pingResult: PingResult = { status: 'ok', resources: { cpu: '4', memory: '8Gi', pods: '10' } };
  readonly #options: MemorySidecarOptions;
  readonly #clock: Clock;
  readonly #jobs = new Map<string, Job>();
  readonly #deleted = new Set<string>();
  readonly #faults = new Map<CallName, unknown[]>();
  readonly #wakers = new Set<() => void>();
  readonly #subscribers = new Set<(event: WatchEvent) => void>();
  readonly #watches = new Set<(error: unknown) => void>();
  #nextJobId = 1;

  constructor(options: MemorySidecarOptions = {}) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
  }

  /** Injects a fault: the next `times` calls of `name` fail with `error`. */
  fail(name: CallName, error: unknown, times = 1): void {
    this.#faults.set(name, [...(this.#faults.get(name) ?? []), ...Array(times).fill(error)]);
  }

  /** What was handed over for a pod, as it arrived. */
  bundleOf(uid: string): PodBundle | undefined {
    return this.#jobs.get(uid)?.bundle;
  }

  /** UIDs of the pods that are known and not over. */
  get live(): readonly string[] {
    return [...this.#jobs.values()].filter(({ sandbox }) => sandbox !== 'Gone').map(({ ref }) => ref.uid);
  }

  /** Starts the containers of a pod, or only the given ones. */
  start(uid: string, containers?: readonly string[]): void {
    const job = this.#job(uid);
    job.sandbox = 'Ready';
    job.startTime ??= this.#now();
    for (const { name } of containers ? containers.map((name) => ({ name })) : containersOf(job))
      job.states.set(name, { running: { startedAt: this.#now() } });
    this.#changed(job);
  }

  /** Ends one container. */
  end(uid: string, container: string, exitCode: number, reason = exitCode === 0 ? 'Completed' : 'Error'): void {
    const job = this.#job(uid);
    const startedAt = job.states.get(container)?.running?.startedAt ?? this.#now();
    job.states.set(container, { terminated: { exitCode, reason, startedAt, finishedAt: this.#now() } });
    if (containersOf(job).every(({ name }) => job.states.get(name)?.terminated)) job.sandbox = 'Gone';
    this.#changed(job);
  }

  /** Ends every container of a pod. */
  finish(uid: string, exitCode = 0): void {
    for (const { name } of containersOf(this.#job(uid))) this.end(uid, name, exitCode);
  }

  /** Appends whole lines to a container's log. */
  write(uid: string, container: string, ...lines: readonly string[]): void {
    const job = this.#job(uid);
    const log = job.logs.get(container) ?? [];
    job.logs.set(container, log);
    for (const text of lines) log.push({ timeMs: this.#clock.nowMs(), text });
    this.#wake();
  }

  /** Forgets a pod as a sidecar does when its retention is over. */
  forget(uid: string): void {
    if (!this.#jobs.delete(uid)) return;
    for (const send of this.#subscribers) send({ type: 'DELETED', uid });
    this.#wake();
  }

  /** Injects a fault: every watch that is open ends with `error`. */
  breakWatches(error: unknown): void {
    for (const end of this.#watches) end(error);
  }

  async capabilities(options: CallOptions): Promise<CapabilityDocument> {
    this.#begin('capabilities', [], options);
    return {
      apiVersion: 'interlink/v1',
      name: this.#options.name ?? 'memory',
      version: '0.0.0',
      capabilities:
        this.#options.capabilities ?? CAPABILITIES.filter((name) => ['watch', 'logs.follow', 'volumes'].includes(name)),
    };
  }

  async create(bundle: PodBundle, options: CallOptions): Promise<CreateResult> {
    const ref = podRefOf(bundle.pod);
    this.#begin('create', [ref.uid], options);
    if (this.#deleted.has(ref.uid))
      throw new InterlinkError('Conflict', `pod ${ref.namespace}/${ref.name} (${ref.uid}) was deleted`);
    const known = this.#jobs.get(ref.uid);
    if (known && !isDeepStrictEqual(known.bundle.pod, bundle.pod))
      throw new InterlinkError(
        'Conflict',
        `pod ${ref.namespace}/${ref.name} (${ref.uid}) is known with another content`,
      );
    if (known) {
      known.bundle = structuredClone(bundle);
      return { uid: ref.uid, jobId: known.jobId };
    }
    const waiting: ContainerState = { waiting: { reason: 'ContainerCreating' } };
    const job: Job = {
      bundle: structuredClone(bundle),
      ref,
      jobId: String(this.#nextJobId++),
      sandbox: 'Waiting',
      states: new Map(containersOf({ bundle }).map(({ name }) => [name, waiting])),
      logs: new Map(),
    };
    this.#jobs.set(ref.uid, job);
    this.#changed(job);
    return { uid: ref.uid, jobId: job.jobId };
  }

  async delete(pod: Pod, options: CallOptions): Promise<void> {
    const { uid } = podRefOf(pod);
    this.#begin('delete', [uid], options);
    this.#deleted.add(uid);
    const job = this.#jobs.get(uid);
    if (job && job.sandbox !== 'Gone')
      for (const { name } of containersOf(job))
        if (!job.states.get(name)?.terminated) this.end(uid, name, 137, 'Error');
  }

  async status(pods: readonly Pod[], options: CallOptions): Promise<readonly PodStatus[]> {
    const uids = pods.map((pod) => podRefOf(pod).uid);
    this.#begin('status', uids, options);
    return uids.flatMap((uid) => {
      const job = this.#jobs.get(uid);
      return job ? [this.#statusOf(job)] : [];
    });
  }

  async logs(request: LogRequest, options: CallOptions): Promise<AsyncIterable<Uint8Array>> {
    this.#begin('logs', [request.uid], options);
    const job = this.#jobs.get(request.uid);
    const { container, name } = request;
    const state = job?.states.get(container);
    if (!job || !state)
      throw new InterlinkError(
        'NotFound',
        `container ${JSON.stringify(container)} in pod ${JSON.stringify(name)} not found`,
      );
    if (request.options.previous)
      throw new InterlinkError('Invalid', `previous terminated container "${container}" in pod "${name}" not found`);
    if (state.waiting)
      throw new InterlinkError(
        'Invalid',
        `container "${container}" in pod "${name}" is waiting to start: ${state.waiting.reason}`,
      );
    return this.#read(job, request, options.signal);
  }

  async updateVolumes(update: VolumeUpdate, options: CallOptions): Promise<void> {
    const { uid, name, namespace } = update.pod;
    this.#begin('updateVolumes', [uid], options);
    this.updates.push(structuredClone(update));
    const job = this.#jobs.get(uid);
    if (!job) throw new InterlinkError('NotFound', `pod ${namespace}/${name} not found`);
    if (job.sandbox === 'Gone') return;
    const spec = job.bundle.pod.spec?.volumes ?? [];
    const unknown = update.volumes.find((volume) => !spec.some((one) => one.name === volume && isLiveVolume(one)));
    if (unknown !== undefined) throw new InterlinkError('Invalid', `pod ${namespace}/${name} has no volume ${unknown}`);
    // What volumes show that are not part of the update, then what they show now.
    const contents = spec.map((volume) =>
      volumeObjects(volume, update.volumes.includes(volume.name) ? update : job.bundle),
    );
    const imagePullSecrets = update.imagePullSecrets ?? job.bundle.imagePullSecrets;
    job.bundle = {
      pod: job.bundle.pod,
      ...(imagePullSecrets && { imagePullSecrets }),
      configMaps: distinct(contents.flatMap(({ configMaps }) => configMaps)),
      secrets: distinct(contents.flatMap(({ secrets }) => secrets)),
      projectedVolumes: distinct(contents.flatMap(({ projectedVolumes }) => projectedVolumes)),
    };
  }

  async ping(options: CallOptions): Promise<PingResult> {
    this.#begin('ping', [], options);
    return this.pingResult;
  }

  async *watch(options: CallOptions): AsyncGenerator<WatchEvent, void, void> {
    this.#begin('watch', [], options);
    const queue: WatchEvent[] = [
      { type: 'SNAPSHOT', items: [...this.#jobs.values()].map((job) => this.#statusOf(job)) },
    ];
    const newWake = (): PromiseWithResolvers<void> => {
      const resolvers = Promise.withResolvers<void>();
      // Aborted while nobody waits: the next step throws.
      resolvers.promise.catch(() => {});
      return resolvers;
    };
    let wake = newWake();
    const send = (event: WatchEvent): void => {
      queue.push(event);
      wake.resolve();
    };
    const stop = (): void => wake.reject(options.signal.reason);
    options.signal.addEventListener('abort', stop);
    const end = (error: unknown): void => wake.reject(error);
    this.#watches.add(end);
    this.#subscribers.add(send);
    try {
      for (;;) {
        options.signal.throwIfAborted();
        for (let event = queue.shift(); event; event = queue.shift()) yield event;
        const idle = new AbortController();
        try {
          await Promise.race([wake.promise, this.#heartbeat(send, AbortSignal.any([options.signal, idle.signal]))]);
        } finally {
          idle.abort();
        }
        wake = newWake();
      }
    } finally {
      this.#subscribers.delete(send);
      this.#watches.delete(end);
      options.signal.removeEventListener('abort', stop);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {}

  async #heartbeat(send: (event: WatchEvent) => void, signal: AbortSignal): Promise<void> {
    await this.#clock.sleep(this.#options.heartbeatMs ?? 10_000, { signal }).catch(() => {});
    if (!signal.aborted) send({ type: 'HEARTBEAT' });
  }

  async *#read(job: Job, request: LogRequest, signal: AbortSignal): AsyncGenerator<Uint8Array, void, void> {
    const { tailLines, limitBytes, sinceSeconds, sinceTime, timestamps, follow } = request.options;
    const lines = (): readonly LogLine[] => job.logs.get(request.container) ?? [];
    const sinceMs = sinceTime
      ? Date.parse(sinceTime)
      : sinceSeconds === undefined
        ? Number.NEGATIVE_INFINITY
        : this.#clock.nowMs() - sinceSeconds * 1000;
    let rest = limitBytes ?? Number.POSITIVE_INFINITY;
    let index = tailLines === undefined ? 0 : Math.max(0, lines().length - tailLines);
    for (;;) {
      for (let line = lines()[index]; line && rest > 0; line = lines()[++index]) {
        if (line.timeMs < sinceMs) continue;
        const stamp = timestamps ? `${new Date(line.timeMs).toISOString()} ` : '';
        const bytes = Buffer.from(`${stamp}${line.text}\n`).subarray(0, rest);
        rest -= bytes.length;
        yield bytes;
      }
      if (!follow || rest <= 0 || job.states.get(request.container)?.terminated) return;
      await this.#woken(signal);
    }
  }

  #woken(signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const abort = (): void => reject(signal.reason);
      if (signal.aborted) return abort();
      signal.addEventListener('abort', abort, { once: true });
      this.#wakers.add(() => {
        signal.removeEventListener('abort', abort);
        resolve();
      });
    });
  }

  #wake(): void {
    const wakers = [...this.#wakers];
    this.#wakers.clear();
    for (const wake of wakers) wake();
  }

  #changed(job: Job): void {
    const item = this.#statusOf(job);
    for (const send of this.#subscribers) send({ type: 'STATUS', item });
    this.#wake();
  }

  #statusOf(job: Job): PodStatus {
    const statusOf = (container: Container): ContainerStatus => {
      const state = job.states.get(container.name) ?? {};
      return {
        name: container.name,
        image: container.image ?? '',
        imageID: '',
        ready: state.running !== undefined,
        restartCount: 0,
        lastState: {},
        state,
      };
    };
    const { spec } = job.bundle.pod;
    return {
      ...job.ref,
      jobId: job.jobId,
      ...(spec?.nodeName === undefined ? {} : { virtualNode: spec.nodeName }),
      sandbox: job.sandbox,
      ...(job.startTime === undefined ? {} : { startTime: job.startTime, nodeName: 'memory-node' }),
      containers: (spec?.containers ?? []).map(statusOf),
      initContainers: (spec?.initContainers ?? []).map(statusOf),
    };
  }

  #begin(name: CallName, uids: readonly string[], options: CallOptions): void {
    this.calls.push({ name, uids, ...(options.session === undefined ? {} : { session: options.session }) });
    options.signal.throwIfAborted();
    const faults = this.#faults.get(name);
    if (faults && faults.length > 0) throw faults.shift();
  }

  #job(uid: string): Job {
    const job = this.#jobs.get(uid);
    if (!job) throw new Error(`no pod ${uid}`);
    return job;
  }

  #now(): string {
    return rfc3339(this.#clock.nowMs());
  }
}

function distinct<T extends { readonly metadata?: { readonly name?: string } }>(list: readonly T[]): readonly T[] {
  return [...new Map(list.map((item) => [item.metadata?.name, item])).values()];
}

function containersOf({ bundle }: { readonly bundle: PodBundle }): readonly Container[] {
  return [...(bundle.pod.spec?.initContainers ?? []), ...(bundle.pod.spec?.containers ?? [])];
}
