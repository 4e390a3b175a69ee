import type { IncomingMessage } from 'node:http';
import { text } from 'node:stream/consumers';
import { Backoff } from '../base/backoff.ts';
import type { Clock } from '../base/clock.ts';
import { InterlinkError, isKind, messageOf } from '../base/errors.ts';
import type { Logger } from '../base/logger.ts';
import type { ResourceKind } from './kinds.ts';
import type {
  KubeClient,
  KubeWatchEvent,
  ListPage,
  ListQuery,
  ObjectRef,
  PatchType,
  WatchQuery,
} from './kube-client.ts';
import type { KubeConnection } from './kube-connection.ts';
import { kubeError } from './kube-error.ts';
import { type KubeRequest, KubeTransport } from './kube-transport.ts';
import { RateLimiter, type RateLimiterOptions } from './rate-limiter.ts';
import { readWatch } from './watch.ts';
import { withDeadline } from './with-deadline.ts';

export interface KubeClientOptions {
  readonly connection: KubeConnection;
  readonly clock: Clock;
  readonly logger: Logger;
  /** `interlink/<version>` with what it is for; shows in the server's audit log. */
  readonly userAgent: string;
  /** 50 requests per second with bursts of 100, a kubelet's numbers, unless given. */
  readonly rate?: RateLimiterOptions;
  /** Longest wait for an answer, of a watch for its first byte; 30 s unless given. */
  readonly timeoutMs?: number;
}

const RATE: RateLimiterOptions = { perSecond: 50, burst: 100 };
const TIMEOUT_MS = 30_000;
const PAGE_SIZE = 500;
/** Times that a request is repeated because the server was busy (429). */
const BUSY_RETRIES = 5;
const CONTENT_TYPES: Readonly<Record<PatchType, string>> = {
  json: 'application/json-patch+json',
  merge: 'application/merge-patch+json',
  strategic: 'application/strategic-merge-patch+json',
  apply: 'application/apply-patch+yaml',
};

type Plan = Omit<KubeRequest, 'signal' | 'stream'>;

/**
 * A client that opens connections as they are needed and keeps them; dispose it to close them. Clients share nothing, so what must not wait
 * for others (the lease) gets one of its own.
 */
export function createKubeClient(options: KubeClientOptions): KubeClient {
  const { clock, timeoutMs = TIMEOUT_MS } = options;
  const limiter = new RateLimiter(clock, options.rate ?? RATE);
  const transport = new KubeTransport({ ...options, limiter });

  /** Repeats while the server is busy and gives what `read` makes of the first other answer that is a success. */
  async function request<R>(
    plan: Plan,
    signal: AbortSignal,
    read: (response: IncomingMessage) => Promise<R>,
    stream = false,
  ): Promise<R> {
    const what = `${plan.method} ${plan.path}`;
    const backoff = new Backoff({ initialMs: 1_000, maxMs: 30_000 });
    for (;;) {
      try {
        return await withDeadline({ clock, ms: timeoutMs, what, signal }, async (inner) => {
          const response = await transport.send({ ...plan, signal: inner, stream });
          const status = response.statusCode ?? 0;
          try {
            if (status >= 200 && status < 300) return await read(response);
            throw kubeError(what, status, await text(response), response.headers['retry-after']);
          } catch (error) {
            // A body that breaks off is the connection's fault; an abort keeps its own reason.
            inner.throwIfAborted();
            throw error instanceof InterlinkError ? error : broken(what, error);
          }
        });
      } catch (error) {
        if (!isKind(error, 'TooManyRequests') || backoff.attempts >= BUSY_RETRIES) throw error;
        const waitMs = error.details.retryAfterMs;
        await clock.sleep(Math.max(backoff.next(), typeof waitMs === 'number' ? waitMs : 0), { signal });
      }
    }
  }

  async function json<R>(plan: Plan, signal: AbortSignal): Promise<R> {
    return request(plan, signal, async (response) => {
      const body = await text(response);
      try {
        return JSON.parse(body) as R;
      } catch {
        // The body may hold a Secret, and the parser quotes it in its error.
        throw new InterlinkError('Unavailable', `${plan.method} ${plan.path}: the answer is no JSON`, {
          code: 'kube.broken-answer',
        });
      }
    });
  }

  return {
    get: (kind, ref, { signal }) => json({ method: 'GET', path: pathOf(kind, ref) }, signal),

    async *list<T>(kind: ResourceKind<T>, query: ListQuery, { signal }: { signal: AbortSignal }) {
      let token = '';
      do {
        const path = collectionPath(kind, query, { limit: PAGE_SIZE, continue: token });
        const page = await json<{ metadata: { resourceVersion?: string; continue?: string }; items: T[] | null }>(
          { method: 'GET', path },
          signal,
        );
        yield { items: page.items ?? [], resourceVersion: page.metadata.resourceVersion ?? '' } satisfies ListPage<T>;
        token = page.metadata.continue ?? '';
      } while (token !== '');
    },

    async *watch<T>(kind: ResourceKind<T>, query: WatchQuery, { signal }: { signal: AbortSignal }) {
      const path = collectionPath(kind, query, {
        watch: true,
        allowWatchBookmarks: true,
        timeoutSeconds: query.timeoutSeconds,
        resourceVersion: query.resourceVersion,
        ...(query.sendInitialEvents ? { sendInitialEvents: true, resourceVersionMatch: 'NotOlderThan' } : {}),
      });
      const response = await request({ method: 'GET', path }, signal, async (answer) => answer, true);
      yield* readWatch<T>(response, { what: `watch ${path}`, idleMs: query.idleMs, clock, signal }) as AsyncIterable<
        KubeWatchEvent<T>
      >;
    },

    create: (kind, ref, body, { signal }) =>
      json({ method: 'POST', path: pathOf(kind, ref), body: JSON.stringify(body) }, signal),

    replace: (kind, ref, body, { signal }) =>
      json({ method: 'PUT', path: pathOf(kind, ref), body: JSON.stringify(body) }, signal),

    patch(kind, ref, patch, { type, fieldManager, force, signal }) {
      const path = `${pathOf(kind, ref)}${queryOf({ fieldManager, force })}`;
      return json({ method: 'PATCH', path, contentType: CONTENT_TYPES[type], body: JSON.stringify(patch) }, signal);
    },

    async delete(kind, ref, { gracePeriodSeconds, uid, resourceVersion, propagationPolicy, signal }) {
      const preconditions = uid === undefined && resourceVersion === undefined ? undefined : { uid, resourceVersion };
      const body = { kind: 'DeleteOptions', apiVersion: 'v1', gracePeriodSeconds, propagationPolicy, preconditions };
      await json({ method: 'DELETE', path: pathOf(kind, ref), body: JSON.stringify(body) }, signal);
    },

    [Symbol.dispose]: () => transport[Symbol.dispose](),
  };
}

function broken(what: string, error: unknown): InterlinkError {
  return new InterlinkError('Unavailable', `${what}: the answer broke off: ${messageOf(error)}`, {
    code: 'kube.broken-answer',
    cause: error,
  });
}

function pathOf(kind: ResourceKind<unknown>, ref: Partial<ObjectRef>): string {
  const parts = [kind.apiVersion.includes('/') ? 'apis' : 'api', kind.apiVersion];
  if (kind.namespaced && ref.namespace !== undefined) parts.push('namespaces', encodeURIComponent(ref.namespace));
  parts.push(kind.resource);
  if (ref.name !== undefined) parts.push(encodeURIComponent(ref.name));
  if (ref.subresource !== undefined) parts.push(ref.subresource);
  return `/${parts.join('/')}`;
}

function collectionPath(
  kind: ResourceKind<unknown>,
  { namespace, fieldSelector, labelSelector }: ListQuery,
  query: Readonly<Record<string, string | number | boolean | undefined>>,
): string {
  return `${pathOf(kind, namespace === undefined ? {} : { namespace })}${queryOf({ fieldSelector, labelSelector, ...query })}`;
}

function queryOf(query: Readonly<Record<string, string | number | boolean | undefined>>): string {
  const given = Object.entries(query).flatMap(([name, value]) =>
    value === undefined || value === '' ? [] : [`${name}=${encodeURIComponent(value)}`],
  );
  return given.length === 0 ? '' : `?${given.join('&')}`;
}
