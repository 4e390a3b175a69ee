import type { Clock } from '../base/clock.ts';
import { isKind } from '../base/errors.ts';
import type { Logger } from '../base/logger.ts';
import type { ResourceKind } from './kinds.ts';
import type { KubeCallOptions, KubeClient } from './kube-client.ts';
import type { MirroredObject } from './object-mirror.ts';
import { createReflector, type Reflector } from './reflector.ts';

/** One object that somebody needs; dispose it when the need is over. */
export interface WatchedObject<T> extends Disposable {
  /**
   * The object as it is now, or undefined when the server says that there is none; what a watch does not know yet is asked for.
   * @throws the errors of `KubeClient.get` but NotFound.
   */
  current(options: KubeCallOptions): Promise<T | undefined>;
  /** Calls `listener` after each change that was noticed, until the returned function is called or the object disposed. */
  onChange(listener: () => void): () => void;
}

/**
 * Follows single objects for as long as somebody needs them: one watch per object, shared by all who need it, never a list of a namespace. Where the
 * rights allow only `get`, or when there are too many, the object is asked for from time to time instead. One that says that it is immutable is taken as it is, as by
 * a kubelet, and no longer followed.
 */
export interface ObjectWatcher<T> extends AsyncDisposable {
  acquire(namespace: string, name: string): WatchedObject<T>;
}

export interface ObjectWatcherDeps {
  readonly kube: KubeClient;
  readonly clock: Clock;
  readonly logger: Logger;
}

export interface ObjectWatcherOptions<T> {
  readonly kind: ResourceKind<T>;
  /** Connections that may be held at once; 100 unless given. */
  readonly maxWatches?: number;
}

const MAX_WATCHES = 100;
/** A missing object is what a pod waits for; a present one changes seldom. */
const POLL_MISSING_MS = 5_000;
const POLL_PRESENT_MS = 60_000;
/** Many pods that need the same object at once ask for it once. */
const FRESH_MS = 1_000;
/**
 * Refusals in a row that mean that watches are not allowed. A node's rights to what a pod refers to come a moment after the pod itself, so the first
 * one says nothing.
 */
const MAX_FORBIDDEN = 3;

/** Opens nothing until the first `acquire`; dispose it to stop all watches. */
export function createObjectWatcher<T extends MirroredObject>(
  deps: ObjectWatcherDeps,
  options: ObjectWatcherOptions<T>,
): ObjectWatcher<T> {
  const entries = new Map<string, Entry<T>>();
  const getOnly = new Set<string>();
  const running = new Set<Promise<void>>();
  let watches = 0;

  function open(namespace: string, name: string): Entry<T> {
    const entry = new Entry(deps, options.kind, namespace, name);
    const mayWatch = watches < (options.maxWatches ?? MAX_WATCHES) && !getOnly.has(namespace);
    if (mayWatch) watches += 1;
    const done = (async () => {
      try {
        if (mayWatch && (await entry.watch()) === 'forbidden' && !getOnly.has(namespace)) {
          getOnly.add(namespace);
          const { resource } = options.kind;
          deps.logger.info('objects are asked for from time to time, as watching them is not allowed', {
            resource,
            namespace,
          });
        }
      } finally {
        if (mayWatch) watches -= 1;
      }
      await entry.poll();
    })();
    running.add(done);
    done.finally(() => running.delete(done)).catch(() => {}); // `asyncDispose` and the process see the rejection of `done` itself.
    return entry;
  }

  return {
    acquire(namespace, name) {
      const key = `${namespace}/${name}`;
      const entry = entries.get(key) ?? open(namespace, name);
      entries.set(key, entry);
      entry.users += 1;
      const listeners = new Set<() => void>();
      let held = true;
      return {
        current: ({ signal }) => entry.current(signal),
        onChange(listener) {
          const own = (): void => listener();
          listeners.add(own);
          entry.listeners.add(own);
          return () => {
            listeners.delete(own);
            entry.listeners.delete(own);
          };
        },
        [Symbol.dispose]() {
          if (!held) return;
          held = false;
          for (const own of listeners) entry.listeners.delete(own);
          entry.users -= 1;
          if (entry.users > 0) return;
          entry.stop();
          entries.delete(key);
        },
      };
    },

    async [Symbol.asyncDispose]() {
      for (const entry of entries.values()) entry.stop();
      entries.clear();
      await Promise.all(running);
    },
  };
}

class Entry<T extends MirroredObject> {
  readonly listeners = new Set<() => void>();
  users = 0;
  readonly #deps: ObjectWatcherDeps;
  readonly #kind: ResourceKind<T>;
  readonly #namespace: string;
  readonly #name: string;
  readonly #stopped = new AbortController();
  readonly #settled = new AbortController();
  #reflector: Reflector<T> | undefined;
  #immutable: T | undefined;
  #known: { readonly object: T | undefined; readonly atMs: number } | undefined;
  #asking: Promise<T | undefined> | undefined;

  constructor(deps: ObjectWatcherDeps, kind: ResourceKind<T>, namespace: string, name: string) {
    this.#deps = deps;
    this.#kind = kind;
    this.#namespace = namespace;
    this.#name = name;
  }

  stop(): void {
    this.#stopped.abort();
  }

  async current(signal: AbortSignal): Promise<T | undefined> {
    if (this.#immutable !== undefined) return this.#immutable;
    // A watch may be behind by moments: an object that it does not have may have been made just now, before the pod that needs it.
    const watched = this.#reflector?.following ? this.#reflector.get(this.#namespace, this.#name) : undefined;
    if (watched !== undefined) return watched;
    if (this.#known !== undefined && this.#deps.clock.monotonicMs() - this.#known.atMs < FRESH_MS)
      return this.#known.object;
    this.#asking ??= this.#ask().finally(() => {
      this.#asking = undefined;
    });
    const answer = await this.#asking;
    signal.throwIfAborted();
    return answer;
  }

  /** Until it is stopped, or the server says that this is not allowed. */
  async watch(): Promise<'stopped' | 'forbidden'> {
    const forbidden = new AbortController();
    let refusals = 0;
    const gone = (): void => {
      // What was asked for a moment ago is older than this.
      this.#known = undefined;
      this.#notify();
    };
    const seen = (object: T): void => {
      this.#settle(object);
      this.#notify();
    };
    const { logger } = this.#deps;
    // Trouble with the server is told by those who watch pods; here it would be told once per object.
    const debug: Logger['debug'] = (message, fields) => logger.debug(message, fields);
    const quiet: Logger = { debug, info: debug, warn: debug, error: debug, child: () => quiet };
    const reflector = createReflector(
      { ...this.#deps, logger: quiet },
      {
        kind: this.#kind,
        query: { namespace: this.#namespace, fieldSelector: `metadata.name=${this.#name}` },
        handlers: {
          added: seen,
          updated: seen,
          deleted: gone,
          failed: (error) => {
            refusals = isKind(error, 'Forbidden') ? refusals + 1 : 0;
            if (refusals >= MAX_FORBIDDEN) forbidden.abort();
          },
        },
      },
    );
    this.#reflector = reflector;
    // It may have gone between the question for it and the beginning of the watch, which then tells of nothing.
    void reflector.ready.then(() => {
      if (this.#known?.object !== undefined && reflector.get(this.#namespace, this.#name) === undefined) gone();
    });
    await reflector.run(AbortSignal.any([this.#stopped.signal, this.#settled.signal, forbidden.signal]));
    this.#reflector = undefined;
    return forbidden.signal.aborted ? 'forbidden' : 'stopped';
  }

  /** Until it is stopped. */
  async poll(): Promise<void> {
    const { clock, logger } = this.#deps;
    while (!this.#stopped.signal.aborted) {
      try {
        const now = await this.current(this.#stopped.signal);
        if (this.#immutable !== undefined) return;
        await clock.sleep(now === undefined ? POLL_MISSING_MS : POLL_PRESENT_MS, { signal: this.#stopped.signal });
      } catch (error) {
        if (this.#stopped.signal.aborted) return;
        logger.debug('object cannot be read, will retry', {
          resource: this.#kind.resource,
          namespace: this.#namespace,
          name: this.#name,
          err: error,
        });
        // Whoever needs the object gets the error from `current`.
        await clock.sleep(POLL_MISSING_MS, { signal: this.#stopped.signal }).catch(() => {});
      }
    }
  }

  async #ask(): Promise<T | undefined> {
    const { kube, clock } = this.#deps;
    let object: T | undefined;
    try {
      const ref = { namespace: this.#namespace, name: this.#name };
      object = await kube.get(this.#kind, ref, { signal: this.#stopped.signal });
    } catch (error) {
      if (!isKind(error, 'NotFound')) throw error;
    }
    if (object !== undefined) this.#settle(object);
    const before = this.#known;
    this.#known = { object, atMs: clock.monotonicMs() };
    if (before !== undefined && before.object?.metadata?.resourceVersion !== object?.metadata?.resourceVersion)
      this.#notify();
    return object;
  }

  /** Ends the following of an object that cannot change. */
  #settle(object: T): void {
    if (object.immutable !== true) return;
    this.#immutable = object;
    this.#settled.abort();
  }

  #notify(): void {
    for (const listener of [...this.listeners]) listener();
  }
}
