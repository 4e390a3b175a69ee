import type { Clock } from '../base/clock.ts';
import { InterlinkError } from '../base/errors.ts';
import type { ObjectSource, TokenAsk } from '../contract/object-source.ts';
import { TOKEN_REQUESTS } from '../kube/kinds.ts';
import type { KubeClient } from '../kube/kube-client.ts';
import { objectReferences } from '../kube/object-references.ts';
import type { ObjectWatcher, WatchedObject } from '../kube/object-watcher.ts';
import type { Reflector } from '../kube/reflector.ts';
import type { ConfigMap, Pod, Secret, Service } from '../kube/types.ts';
import { withDeadline } from '../kube/with-deadline.ts';

const SERVICES_MS = 5_000;

export interface BundleSourceDeps {
  readonly clock: Clock;
  readonly kube: KubeClient;
  readonly configMaps: ObjectWatcher<ConfigMap>;
  readonly secrets: ObjectWatcher<Secret>;
  readonly services: Reflector<Service>;
}

interface Call {
  readonly signal: AbortSignal;
}

/**
 * What one pod refers to, from the API server: each ConfigMap and Secret is followed for as long as this lives, so that a missing one is noticed when it
 * appears. A token is asked for once, however often the bundle is made.
 */
export class BundleSource implements ObjectSource, Disposable {
  readonly #deps: BundleSourceDeps;
  readonly #configMaps = new Map<string, WatchedObject<ConfigMap>>();
  readonly #secrets = new Map<string, WatchedObject<Secret>>();
  readonly #tokens = new Map<string, string>();

  /** @param changed called after each change of an object that the pod refers to */
  constructor(deps: BundleSourceDeps, pod: Pod, changed: () => void) {
    this.#deps = deps;
    const namespace = pod.metadata?.namespace ?? 'default';
    const { configMaps, secrets, pullSecrets } = objectReferences(pod);
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

  async serviceAccountToken(ask: TokenAsk, { signal }: Call): Promise<string> {
    const key = JSON.stringify([ask.serviceAccount, ask.audience, ask.expirationSeconds]);
    const known = this.#tokens.get(key);
    if (known !== undefined) return known;
    const { namespace, serviceAccount: name, audience, expirationSeconds, podName, podUid } = ask;
    const answer = await this.#deps.kube.create(
      TOKEN_REQUESTS,
      { namespace, name, subresource: 'token' },
      {
        apiVersion: 'authentication.k8s.io/v1',
        kind: 'TokenRequest',
        spec: {
          audiences: audience === undefined ? [] : [audience],
          ...(expirationSeconds === undefined ? {} : { expirationSeconds }),
          boundObjectRef: { apiVersion: 'v1', kind: 'Pod', name: podName, uid: podUid },
        },
      },
      { signal },
    );
    const token = answer.status?.token;
    if (!token)
      throw new InterlinkError('Unavailable', `serviceaccounts ${JSON.stringify(name)}: the API server gave no token`);
    this.#tokens.set(key, token);
    return token;
  }

  [Symbol.dispose](): void {
    for (const object of [...this.#configMaps.values(), ...this.#secrets.values()]) object[Symbol.dispose]();
    this.#tokens.clear();
  }
}

function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_resolve, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason), { once: true });
  });
}
