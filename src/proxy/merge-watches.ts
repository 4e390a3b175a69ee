import { Backoff } from '../base/backoff.ts';
import type { Clock } from '../base/clock.ts';
import { InterlinkError } from '../base/errors.ts';
import type { Logger } from '../base/logger.ts';
import type { PodStatus } from '../contract/pod-status.ts';
import type { CallOptions, Sidecar, WatchEvent } from '../contract/sidecar.ts';
import type { KnownStatuses } from './known-statuses.ts';

/** A sidecar that declares `watch`, by its configured name. */
export interface WatchSource {
  readonly name: string;
  readonly sidecar: Sidecar;
}

export interface MergeWatchesDeps {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly known: KnownStatuses;
  /** Told when a sidecar has forgotten a pod. */
  readonly onDeleted: (uid: string) => void;
}

/** A reader that is so far behind gets a fresh snapshot by opening the watch again. */
const MAX_WAITING = 10_000;

/**
 * Several watches as one: a snapshot of all once each source has given its own, then every change. A source that fails later is opened again with
 * back-off while the others go on; what changed meanwhile follows as single events.
 * @throws Unavailable when a source cannot give its first snapshot.
 */
export async function* mergeWatches(
  sources: readonly WatchSource[],
  options: CallOptions,
  deps: MergeWatchesDeps,
): AsyncGenerator<WatchEvent, void, void> {
  const stop = new AbortController();
  const call = { ...options, signal: AbortSignal.any([options.signal, stop.signal]) };
  const waiting: WatchEvent[] = [];
  let wake = Promise.withResolvers<void>();
  const opened = new Map<string, AsyncIterator<WatchEvent>>();
  let failure: { readonly error: unknown } | undefined;
  const send = (event: WatchEvent): void => {
    waiting.push(event);
    wake.resolve();
  };
  const fail = (error: unknown): void => {
    failure ??= { error };
    wake.resolve();
  };
  const aborted = (): void => fail(options.signal.reason);
  options.signal.addEventListener('abort', aborted, { once: true });
  try {
    options.signal.throwIfAborted();
    const begun = await Promise.all(sources.map((source) => begin(source, call, deps, opened)));
    yield { type: 'SNAPSHOT', items: begun.flatMap(({ items }) => items) };
    for (const { source, events } of begun) void follow({ source, events, call, deps, send, opened }).catch(fail);
    while (!failure) {
      for (let event = waiting.shift(); event; event = waiting.shift()) yield event;
      if (failure) break;
      await wake.promise;
      wake = Promise.withResolvers();
      if (waiting.length > MAX_WAITING)
        throw new InterlinkError('Unavailable', 'the reader of the watch is too slow; open it again', {
          code: 'proxy.watch.slow',
        });
    }
    throw (failure as { readonly error: unknown }).error;
  } finally {
    options.signal.removeEventListener('abort', aborted);
    stop.abort(new InterlinkError('Unavailable', 'the watch is over', { code: 'proxy.watch.over' }));
    // A source that rests at an event would not notice the abort. Its end concerns nobody any more.
    for (const events of opened.values()) void events.return?.().catch(() => {});
  }
}

interface Begun {
  readonly source: WatchSource;
  readonly items: readonly PodStatus[];
  readonly events: AsyncIterator<WatchEvent>;
}

async function begin(
  source: WatchSource,
  call: CallOptions,
  deps: MergeWatchesDeps,
  opened: Map<string, AsyncIterator<WatchEvent>>,
): Promise<Begun> {
  const events = source.sidecar.watch(call)[Symbol.asyncIterator]();
  opened.set(source.name, events);
  for (;;) {
    const { value, done } = await events.next();
    if (done)
      throw new InterlinkError('Unavailable', `sidecar ${source.name} ended its watch`, { code: 'proxy.watch' });
    if (value.type !== 'SNAPSHOT') continue;
    for (const item of value.items) deps.known.set(source.name, item);
    return { source, items: value.items, events };
  }
}

interface Following {
  readonly source: WatchSource;
  readonly events: AsyncIterator<WatchEvent>;
  readonly call: CallOptions;
  readonly deps: MergeWatchesDeps;
  readonly send: (event: WatchEvent) => void;
  readonly opened: Map<string, AsyncIterator<WatchEvent>>;
}

/** Passes one source on for ever; ends with an error only when the call is over. */
async function follow(following: Following): Promise<never> {
  const { source, call, deps, send } = following;
  const backoff = new Backoff({ initialMs: 200, maxMs: 3_000 });
  let { events } = following;
  for (;;) {
    try {
      for (;;) {
        const { value, done } = await events.next();
        if (done) throw new InterlinkError('Unavailable', 'the watch ended', { code: 'proxy.watch' });
        pass(source, value, deps, send);
      }
    } catch (error) {
      call.signal.throwIfAborted();
      deps.logger.warn('watch of a sidecar failed', { sidecar: source.name, err: error });
    }
    events = await reopen(following, backoff);
    backoff.reset();
    deps.logger.info('watch of a sidecar is back', { sidecar: source.name });
  }
}

async function reopen(following: Following, backoff: Backoff): Promise<AsyncIterator<WatchEvent>> {
  const { source, call, deps, send, opened } = following;
  for (;;) {
    await deps.clock.sleep(backoff.next(), { signal: call.signal });
    try {
      const before = deps.known.uidsOf(source.name);
      const { items, events } = await begin(source, call, deps, opened);
      const now = new Set(items.map(({ uid }) => uid));
      for (const item of items) send({ type: 'STATUS', item });
      for (const uid of before) if (!now.has(uid)) pass(source, { type: 'DELETED', uid }, deps, send);
      return events;
    } catch {
      // Logged when it failed first; it is tried until the caller goes.
      call.signal.throwIfAborted();
    }
  }
}

function pass(source: WatchSource, event: WatchEvent, deps: MergeWatchesDeps, send: (event: WatchEvent) => void): void {
  switch (event.type) {
    case 'SNAPSHOT':
      for (const item of event.items) pass(source, { type: 'STATUS', item }, deps, send);
      return;
    case 'STATUS':
      deps.known.set(source.name, event.item);
      break;
    case 'DELETED':
      deps.known.delete(event.uid);
      deps.onDeleted(event.uid);
      break;
    default:
  }
  send(event);
}
