import { Backoff } from '../base/backoff.ts';
import type { Clock } from '../base/clock.ts';
import { InterlinkError, isKind, messageOf } from '../base/errors.ts';
import type { Logger } from '../base/logger.ts';
import type { Service } from '../base/service.ts';
import type { ResourceKind } from './kinds.ts';
import type { KubeClient, ListQuery } from './kube-client.ts';
import { type MirroredObject, ObjectMirror } from './object-mirror.ts';

/** Called synchronously, one at a time, in the order of the changes; they must return at once and not throw. */
export interface ReflectorHandlers<T> {
  readonly added?: (object: T) => void;
  readonly updated?: (object: T, before: T) => void;
  /** With the last state that was seen, also when the deletion itself was missed. An object made anew under the same name is deleted, then added. */
  readonly deleted?: (object: T) => void;
  /** An attempt to follow the cluster failed and will be repeated; not called for a version that has expired. */
  readonly failed?: (error: unknown) => void;
}

export interface ReflectorOptions<T> {
  readonly kind: ResourceKind<T>;
  readonly query: ListQuery;
  readonly handlers?: ReflectorHandlers<T>;
  /** Names it in logs; the kind unless given. */
  readonly name?: string;
  /** A watch that brings no byte for this long is replaced; bookmarks come about every minute. 150 s unless given. */
  readonly idleMs?: number;
  readonly random?: () => number;
}

export interface ReflectorDeps {
  readonly kube: KubeClient;
  readonly clock: Clock;
  readonly logger: Logger;
}

/**
 * A live copy of a part of the cluster. `ready` resolves when the first full state is in. Whatever the connection does it goes on until its signal
 * aborts; after a gap it compares full states by UID. Objects are shared and must not be changed; `managedFields` are left out.
 */
export interface Reflector<T> extends Service {
  get(namespace: string | undefined, name: string): T | undefined;
  /** All objects of now, in no order. */
  list(): readonly T[];
  /** Whether the last attempt to follow the cluster succeeded; false also before the first. */
  readonly following: boolean;
}

const IDLE_MS = 150_000;
/** A watch that lived this long was a good one: the next failure starts with a short wait again. */
const GOOD_MS = 120_000;
const INITIAL_END = 'k8s.io/initial-events-end';

/** As client-go waits between attempts, but at most 8 s instead of 30: after an outage a node has pods to start. */
const BACKOFF = { initialMs: 800, maxMs: 8_000, jitter: 0.5 };

/** Starts nothing until `run`. */
export function createReflector<T extends MirroredObject>(
  deps: ReflectorDeps,
  options: ReflectorOptions<T>,
): Reflector<T> {
  return new KindReflector(deps, options);
}

class KindReflector<T extends MirroredObject> implements Reflector<T> {
  readonly name: string;
  readonly ready: Promise<void>;
  readonly #kube: KubeClient;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #options: ReflectorOptions<T>;
  readonly #mirror: ObjectMirror<T>;
  readonly #becomeReady: () => void;
  /** Undefined: the full state has to be fetched. */
  #resourceVersion: string | undefined;
  /** Servers before 1.32, and some in between, cannot stream the initial state. */
  #streamsInitialState = true;
  #state: 'new' | 'following' | 'failing' = 'new';

  constructor(deps: ReflectorDeps, options: ReflectorOptions<T>) {
    this.name = options.name ?? `reflector of ${options.kind.resource}`;
    this.#kube = deps.kube;
    this.#clock = deps.clock;
    this.#logger = deps.logger;
    this.#options = options;
    this.#mirror = new ObjectMirror(options.handlers ?? {});
    const { promise, resolve } = Promise.withResolvers<void>();
    this.ready = promise;
    this.#becomeReady = resolve;
  }

  get following(): boolean {
    return this.#state === 'following';
  }

  get(namespace: string | undefined, name: string): T | undefined {
    return this.#mirror.get(namespace, name);
  }

  list(): readonly T[] {
    return this.#mirror.list();
  }

  async run(signal: AbortSignal): Promise<void> {
    const { random } = this.#options;
    const backoff = new Backoff({ ...BACKOFF, ...(random === undefined ? {} : { random }) });
    let expired = false;
    while (!signal.aborted) {
      const startedMs = this.#clock.monotonicMs();
      try {
        await this.#follow(signal);
        // The server ended the watch in good order, as it does every few minutes. One that ended at once would otherwise be asked in a tight loop.
        if (this.#clock.monotonicMs() - startedMs >= 1_000) backoff.reset();
      } catch (error) {
        if (signal.aborted) return;
        // An expired version is no trouble of the server, unless it says so again and again.
        const again = expired;
        expired = isGone(error);
        if ((expired && !again) || this.#clock.monotonicMs() - startedMs >= GOOD_MS) backoff.reset();
        this.#judge(error);
        await this.#pause(Math.max(backoff.next(), retryAfterOf(error)), signal);
        continue;
      }
      if (this.#clock.monotonicMs() - startedMs < 1_000) await this.#pause(backoff.next(), signal);
    }
  }

  async #pause(ms: number, signal: AbortSignal): Promise<void> {
    try {
      await this.#clock.sleep(ms, { signal });
    } catch (error) {
      // `run` ends without an error once its signal aborts.
      if (!signal.aborted) throw error;
    }
  }

  #judge(error: unknown): void {
    const resource = this.#options.kind.resource;
    if (isGone(error)) {
      this.#resourceVersion = undefined;
      this.#logger.info('watch expired, fetching the full state', { resource });
      return;
    }
    const fields = { resource, err: messageOf(error) };
    // Once per change of state; repeats are for debugging.
    if (this.#state !== 'failing') this.#logger.warn('watch failed, will retry', fields);
    else this.#logger.debug('watch failed again', fields);
    this.#state = 'failing';
    this.#options.handlers?.failed?.(error);
  }

  async #follow(signal: AbortSignal): Promise<void> {
    const { kind, query, idleMs = IDLE_MS, random = Math.random } = this.#options;
    let initial: Map<string, T> | undefined;
    if (this.#resourceVersion === undefined) {
      if (this.#streamsInitialState) initial = new Map();
      else await this.#list(signal);
    }
    const events = this.#kube.watch(
      kind,
      {
        ...query,
        ...(this.#resourceVersion === undefined ? {} : { resourceVersion: this.#resourceVersion }),
        sendInitialEvents: initial !== undefined,
        // Between 5 and 10 minutes, so that not all watches of a cluster come anew at once.
        timeoutSeconds: Math.round(300 * (1 + random())),
        idleMs,
      },
      { signal },
    );
    try {
      for await (const { type, object } of events) {
        this.#state = 'following';
        const version = object.metadata?.resourceVersion;
        if (initial !== undefined) {
          if (type === 'DELETED') initial.delete(object.metadata?.uid ?? '');
          else if (type !== 'BOOKMARK') initial.set(object.metadata?.uid ?? '', object);
          else if (object.metadata?.annotations?.[INITIAL_END] === 'true') {
            this.#adopt(initial.values(), version);
            initial = undefined;
          }
          continue;
        }
        if (type === 'DELETED') this.#mirror.remove(object);
        else if (type !== 'BOOKMARK') this.#mirror.put(object);
        // Only after the change is in the mirror, so that an error in between repeats it.
        this.#resourceVersion = version ?? this.#resourceVersion;
      }
    } catch (error) {
      // A server that does not know the parameter says Invalid; one that knows it half stays silent or ends.
      if (initial !== undefined && isKind(error, 'Invalid', 'DeadlineExceeded')) this.#streamsInitialState = false;
      throw error;
    }
    if (initial === undefined) return;
    this.#streamsInitialState = false;
    throw new InterlinkError('Unavailable', `watch of ${kind.resource}: ended before the full state was sent`);
  }

  async #list(signal: AbortSignal): Promise<void> {
    const { kind, query } = this.#options;
    const all: T[] = [];
    let resourceVersion = '';
    for await (const page of this.#kube.list(kind, query, { signal })) {
      all.push(...page.items);
      resourceVersion = page.resourceVersion;
    }
    this.#adopt(all, resourceVersion);
  }

  #adopt(objects: Iterable<T>, resourceVersion: string | undefined): void {
    this.#mirror.replaceAll(objects);
    this.#resourceVersion = resourceVersion;
    this.#state = 'following';
    this.#logger.debug('full state received', { resource: this.#options.kind.resource });
    this.#becomeReady();
  }
}

function isGone(error: unknown): boolean {
  return isKind(error, 'Conflict') && error.code === 'kube.gone';
}

function retryAfterOf(error: unknown): number {
  const ms = error instanceof Error && 'details' in error ? (error as InterlinkError).details.retryAfterMs : 0;
  return typeof ms === 'number' ? ms : 0;
}
