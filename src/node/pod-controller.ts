import type { Clock } from '../base/clock.ts';
import { messageOf } from '../base/errors.ts';
import type { Logger } from '../base/logger.ts';
import { runServices, type Service } from '../base/service.ts';
import type { PodStatus } from '../contract/pod-status.ts';
import type { Sidecar } from '../contract/sidecar.ts';
import type { ResourceList } from '../kube/container-resource.ts';
import type { EventRecorder } from '../kube/event-recorder.ts';
import { CONFIG_MAPS, PODS, SECRETS, SERVICES } from '../kube/kinds.ts';
import type { KubeClient } from '../kube/kube-client.ts';
import { liveReferences, objectReferences } from '../kube/object-references.ts';
import { createObjectWatcher } from '../kube/object-watcher.ts';
import { createReflector, type Reflector } from '../kube/reflector.ts';
import type { ConfigMap, Service as KubeService, Node, Pod, Secret } from '../kube/types.ts';
import { BundleSource, type BundleSourceDeps } from './bundle-source.ts';
import { ConcurrencyLimit } from './concurrency-limit.ts';
import { PodAdmission } from './pod-admission.ts';
import { PodLeftovers } from './pod-leftovers.ts';
import { JOB_ANNOTATION } from './pod-shown.ts';
import { SiteView } from './pod-site-view.ts';
import { PodWorker } from './pod-worker.ts';
import type { PodWorkerDeps } from './pod-worker-deps.ts';
import { VolumeSupport } from './volume-support.ts';

const OWN_ANNOTATIONS: ReadonlySet<string> = new Set([JOB_ANNOTATION]);
/** Pods whose volumes are collected and sent to the site at the same time. */
const VOLUME_UPDATES = 16;

export interface PodControllerDeps {
  readonly kube: KubeClient;
  readonly sidecar: Sidecar;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly events: Pick<EventRecorder, 'record'>;
  readonly nodeName: string;
  /** Address of the node: `hostIP` of its pods. */
  readonly nodeIP: string;
  /** The Node object as it is now; its `status.allocatable` is what pods are admitted against. */
  readonly node: () => Node | undefined;
}

export interface PodControllerOptions {
  /** Pods that are handed over to the site at the same time; 32 unless given. */
  readonly createConcurrency?: number;
  /** Time between two questions to a site that cannot be watched; 5 s unless given. */
  readonly pollIntervalMs?: number;
  /** Time after the grace period in which the site has to confirm the end of a deleted pod; 2 min unless given. */
  readonly stopMarginMs?: number;
  /** Time for which a pod that the site has lost is not given up; 5 min unless given. */
  readonly lostAfterMs?: number;
  /** Time for which a pod of the site that is not in the API is left alone; 2 s unless given. */
  readonly leftoverGraceMs?: number;
}

/** Takes the pods that are bound to the node to the site and shows in the API what becomes of them. `ready` resolves when the pods are known. */
export interface PodController extends Service {
  /** The pods that are bound to this node, as the API has them. */
  pods(): readonly Pod[];
  findPod(namespace: string, name: string): Pod | undefined;
}

/**
 * Starts nothing until `run`. Keeps no state of its own: what has to be done follows from the API and the site, so it may be killed at any
 * moment. Ending it changes no pod.
 */
export function createPodController(deps: PodControllerDeps, options: PodControllerOptions = {}): PodController {
  return new NodePodController(deps, options);
}

class NodePodController implements PodController {
  readonly name = 'pod controller';
  readonly ready: Promise<void>;
  readonly #deps: PodControllerDeps;
  readonly #workers = new Map<string, PodWorker>();
  /** UIDs of pods that were looked after to the end and that the site may still remember. */
  readonly #finished = new Set<string>();
  readonly #running = new Set<Promise<void>>();
  readonly #pods: Reflector<Pod>;
  readonly #services: Reflector<KubeService>;
  readonly #site: SiteView;
  readonly #leftovers: PodLeftovers;
  readonly #options: PodControllerOptions;
  readonly #admission = new PodAdmission();
  readonly #creates: ConcurrencyLimit;
  #spawn: ((pod: Pod, isGone?: boolean) => void) | undefined;

  constructor(deps: PodControllerDeps, options: PodControllerOptions) {
    this.#deps = deps;
    this.#options = options;
    this.#creates = new ConcurrencyLimit(options.createConcurrency ?? 32);
    this.#pods = createReflector(deps, {
      kind: PODS,
      query: { fieldSelector: `spec.nodeName=${deps.nodeName}` },
      handlers: {
        added: (pod) => this.#spawn?.(pod),
        updated: (pod) => this.#workers.get(uidOf(pod))?.onPod(pod),
        deleted: (pod) => this.#onDeleted(pod),
      },
    });
    this.ready = this.#pods.ready;
    this.#services = createReflector(deps, { kind: SERVICES, query: {} });
    this.#site = new SiteView(
      {
        ...deps,
        wanted: () => [...this.#workers.values()].filter((worker) => worker.isExpectedAtSite).map(({ pod }) => pod),
        onStatus: (status) => this.#workers.get(status.uid)?.onStatus(status),
        onForgotten: (uid) => this.#onForgotten(uid),
        onSnapshot: (known, asked) => this.#onSnapshot(known, asked),
        onBack: () => {
          for (const worker of this.#workers.values()) worker.onSiteBack();
        },
      },
      { pollIntervalMs: options.pollIntervalMs ?? 5_000 },
    );
    this.#leftovers = new PodLeftovers(
      {
        ...deps,
        atSite: () => this.#site.list(),
        isTended: (uid) => this.#workers.has(uid) || this.#finished.has(uid),
        remove: (status) => this.#spawn?.(strayPod(status), true),
      },
      { graceMs: options.leftoverGraceMs ?? 2_000 },
    );
  }

  pods(): readonly Pod[] {
    return this.#pods.list();
  }

  findPod(namespace: string, name: string): Pod | undefined {
    return this.#pods.get(namespace, name);
  }

  async run(signal: AbortSignal): Promise<void> {
    await using configMaps = createObjectWatcher<ConfigMap>(this.#deps, { kind: CONFIG_MAPS });
    await using secrets = createObjectWatcher<Secret>(this.#deps, { kind: SECRETS });
    const sources: BundleSourceDeps = { ...this.#deps, configMaps, secrets, services: this.#services };
    const begin: Service = {
      name: 'pods',
      ready: Promise.resolve(),
      run: async (inner) => {
        const workerDeps = this.#workerDeps(sources);
        await Promise.race([this.#pods.ready, untilAborted(inner)]);
        if (inner.aborted) return;
        this.#spawn = (pod, isGone = false) => this.#tend(workerDeps, pod, isGone, inner);
        // Those that run already first, so that they are counted before new ones are judged.
        for (const pod of this.#pods.list().toSorted(byAge)) this.#spawn(pod);
        await Promise.all([this.#site.run(inner), this.#leftovers.run(inner)]);
        await Promise.all(this.#running);
      },
    };
    await runServices([this.#pods, this.#services, begin], signal);
  }

  #workerDeps(sources: BundleSourceDeps): PodWorkerDeps {
    const { stopMarginMs = 120_000, lostAfterMs = 300_000 } = this.#options;
    const { nodeIP } = this.#deps;
    const allocatable = (): ResourceList => this.#deps.node()?.status?.allocatable ?? {};
    return {
      ...this.#deps,
      site: this.#site,
      admission: this.#admission,
      hostIPs: [nodeIP],
      allocatable,
      limits: { stopMarginMs, lostAfterMs },
      start: {
        ...this.#deps,
        creates: this.#creates,
        openSource: (pod, changed) => new BundleSource(sources, pod, objectReferences(pod), changed),
        facts: () => ({ hostIPs: [nodeIP], allocatable: allocatable(), unlistedAnnotations: OWN_ANNOTATIONS }),
      },
      volumes: {
        updates: new ConcurrencyLimit(VOLUME_UPDATES),
        support: new VolumeSupport(this.#deps),
        openVolumes: (pod, changed) => new BundleSource(sources, pod, liveReferences(pod), changed),
      },
    };
  }

  #tend(deps: PodWorkerDeps, pod: Pod, isGone: boolean, signal: AbortSignal): void {
    const worker = new PodWorker(deps, pod, isGone);
    const { uid } = worker;
    if (this.#workers.has(uid)) return;
    this.#workers.set(uid, worker);
    const running = worker
      .run(signal)
      .catch((error: unknown) => {
        if (!signal.aborted)
          this.#deps.logger.error('pod is not looked after any more', { podUid: uid, err: messageOf(error) });
      })
      .finally(() => {
        this.#running.delete(running);
        this.#workers.delete(uid);
        if (this.#site.get(uid)) this.#finished.add(uid);
      });
    this.#running.add(running);
  }

  #onDeleted(pod: Pod): void {
    const worker = this.#workers.get(uidOf(pod));
    worker?.onPod(pod);
    worker?.onGone();
  }

  #onForgotten(uid: string): void {
    this.#finished.delete(uid);
    this.#workers.get(uid)?.onAbsent();
  }

  #onSnapshot(known: ReadonlyMap<string, PodStatus>, asked: ReadonlySet<string> | undefined): void {
    for (const [uid, worker] of this.#workers) if (!known.has(uid) && (asked?.has(uid) ?? true)) worker.onAbsent();
    for (const uid of this.#finished) if (!this.#site.get(uid)) this.#finished.delete(uid);
  }
}

function uidOf({ metadata }: Pod): string {
  return metadata?.uid ?? '';
}

/** Acknowledged pods first, then by age. */
function byAge(a: Pod, b: Pod): number {
  const rank = ({ status }: Pod): number => (status?.startTime === undefined ? 1 : 0);
  const age = ({ metadata }: Pod): number => Date.parse(metadata?.creationTimestamp ?? '') || 0;
  return rank(a) - rank(b) || age(a) - age(b);
}

/** As much of a pod as is needed to have it ended. */
function strayPod({ namespace, name, uid }: PodStatus): Pod {
  return { apiVersion: 'v1', kind: 'Pod', metadata: { namespace, name, uid, deletionGracePeriodSeconds: 0 } };
}

function untilAborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
}
