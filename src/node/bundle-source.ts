import type { ObjectSource, TokenAsk } from '../contract/object-source.ts';
import { liveReferences, type ObjectReferences } from '../kube/object-references.ts';
import type { ObjectWatcher, WatchedObject } from '../kube/object-watcher.ts';
import type { Reflector } from '../kube/reflector.ts';
import type { ConfigMap, Pod, Secret, Service } from '../kube/types.ts';
import { withDeadline } from '../kube/with-deadline.ts';
import { PodTokens, type PodTokensDeps } from './pod-tokens.ts';

const SERVICES_MS = 5_000;

export interface BundleSourceDeps extends PodTokensDeps {
  readonly configMaps: ObjectWatcher<ConfigMap>;
  readonly secrets: ObjectWatcher<Secret>;
  readonly services: Reflector<Service>;
}

/** What a source follows; everything that the pod refers to, or just what its volumes show. */
export type SourceNames = Pick<ObjectReferences, 'configMaps' | 'secrets'> & Partial<ObjectReferences>;

interface Call {
  readonly signal: AbortSignal;
}

/**
 * What one pod refers to, from the API server: each ConfigMap and Secret is followed for as long as this lives, so that a missing one is noticed when it
 * appears. A token is asked for once in its life, however often the bundle is made.
 */
export class BundleSource implements ObjectSource, Disposable {
  readonly #deps: BundleSourceDeps;
  readonly #configMaps = new Map<string, WatchedObject<ConfigMap>>();
  readonly #secrets = new Map<string, WatchedObject<Secret>>();
  readonly #tokens: PodTokens;

  /**
   * @param names the objects that are followed
   * @param changed called after each change of one of them
   */
  constructor(deps: BundleSourceDeps, pod: Pod, names: SourceNames, changed: () => void) {
    this.#deps = deps;
    this.#tokens = new PodTokens(deps);
    const namespace = pod.metadata?.namespace ?? 'default';
    const { configMaps, secrets, pullSecrets = [] } = names;
    for (const name of configMaps) this.#configMaps.set(name, deps.configMaps.acquire(namespace, name));
    for (const name of new Set([...secrets, ...pullSecrets]))
      this.#secrets.set(name, deps.secrets.acquire(namespace, name));
    for (const object of [...this.#configMaps.values(), ...this.#secrets.values()]) object.onChange(changed);
  }

  async configMap(_namespace: string, name: string, options: Call): Promise<ConfigMap | undefined> {
    return this.#configMaps.get(name)?.current(options);
  }

  async secret(_namespace: string, name: string, options: Call): Promise<Secret | undefined> {
    return this.#secrets.get(name)?.current(options);
  }

  /** @throws DeadlineExceeded until Services have been read once: a pod without the API server's address would fail in odd ways. */
  async services(_namespace: string, { signal }: Call): Promise<readonly Service[]> {
    const { services, clock } = this.#deps;
    const what = 'services have not yet been read at least once, cannot construct envvars: reading them';
    await withDeadline({ clock, ms: SERVICES_MS, what, signal }, (inner) =>
      Promise.race([services.ready, aborted(inner)]),
    );
    return services.list();
  }

  serviceAccountToken(ask: TokenAsk, { signal }: Call): Promise<string> {
    return this.#tokens.get(ask, signal);
  }

  /** Monotonic time at which a token should be renewed by making the volumes anew; undefined when there is none. */
  get renewMs(): number | undefined {
    return this.#tokens.renewMs;
  }

  /** Follows from now on what volumes show and registries are shown, and nothing else; what only the start of the pod needed is given up. */
  keepVolumes(pod: Pod): void {
    const { configMaps, secrets, pullSecrets } = liveReferences(pod);
    release(this.#configMaps, configMaps);
    release(this.#secrets, new Set([...secrets, ...pullSecrets]));
  }

  [Symbol.dispose](): void {
    release(this.#configMaps, new Set());
    release(this.#secrets, new Set());
  }
}

/** Gives up the objects that are not in `kept`. */
function release(objects: Map<string, Disposable>, kept: ReadonlySet<string>): void {
  for (const [name, object] of objects) {
    if (kept.has(name)) continue;
    object[Symbol.dispose]();
    objects.delete(name);
  }
}

function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_resolve, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason), { once: true });
  });
}
