import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { systemClock } from '../../../src/base/clock.ts';
import { InterlinkError, kindOf } from '../../../src/base/errors.ts';
import { silentLogger } from '../../../src/base/logger.ts';
import { createKubeClient, type KubeClientOptions } from '../../../src/kube/client.ts';
import { CONFIG_MAPS, NODES, PODS, TOKEN_REQUESTS } from '../../../src/kube/kinds.ts';
import type { KubeClient } from '../../../src/kube/kube-client.ts';
import { FakeKubeApi, type Fault } from '../../fakes/fake-kube-api.ts';

const { signal } = new AbortController();
const everything = (): boolean => true;

let api: FakeKubeApi;
const clients: KubeClient[] = [];

function client(options: Partial<KubeClientOptions> = {}): KubeClient {
  const kube = createKubeClient({
    connection: api.connection(),
    clock: systemClock,
    logger: silentLogger,
    userAgent: 'test',
    ...options,
  });
  clients.push(kube);
  return kube;
}

function pod(name: string, extra: object = {}) {
  return { apiVersion: 'v1', kind: 'Pod', metadata: { name, namespace: 'ns' }, ...extra };
}

async function errorOf(promise: Promise<unknown>): Promise<InterlinkError> {
  try {
    await promise;
  } catch (error) {
    if (error instanceof InterlinkError) return error;
    throw error;
  }
  throw new Error('it did not fail');
}

beforeEach(async () => {
  api = await FakeKubeApi.start();
});

afterEach(async () => {
  for (const kube of clients.splice(0)) kube[Symbol.dispose]();
  await api[Symbol.asyncDispose]();
});

describe('kube client', () => {
  it('keeps fields that it does not know', async () => {
    api.put('v1/pods', pod('p', { spec: { futureField: { deep: [1, null] } } }));
    const seen = await client().get(PODS, { namespace: 'ns', name: 'p' }, { signal });
    expect(seen).toMatchObject({ spec: { futureField: { deep: [1, null] } } });
  });

  it('lists in pages of one version', async () => {
    api.pageSize = 2;
    for (const name of ['a', 'b', 'c', 'd', 'e']) api.put('v1/pods', pod(name));
    const pages = await Array.fromAsync(client().list(PODS, { namespace: 'ns' }, { signal }));
    expect(pages.map(({ items }) => items.length)).toEqual([2, 2, 1]);
    expect(new Set(pages.map(({ resourceVersion }) => resourceVersion)).size).toBe(1);
  });

  it.each([
    ['merge', 'application/merge-patch+json'],
    ['strategic', 'application/strategic-merge-patch+json'],
  ] as const)('sends a %s patch under its content type', async (type, contentType) => {
    api.put('v1/nodes', { metadata: { name: 'n', labels: { a: '1', b: '2' } } });
    const patch = { metadata: { labels: { a: null, c: '3' } } };
    const patched = await client().patch(NODES, { name: 'n' }, patch, { type, signal });
    expect(patched.metadata?.labels).toEqual({ b: '2', c: '3' });
    expect(api.requests[0]?.contentType).toBe(contentType);
  });

  it('creates a subresource under the object that has it', async () => {
    const ref = { namespace: 'ns', name: 'default', subresource: 'token' };
    const answer = await client().create(TOKEN_REQUESTS, ref, { spec: { audiences: ['a'] } }, { signal });
    expect(api.requests[0]?.path).toBe('/api/v1/namespaces/ns/serviceaccounts/default/token');
    expect(answer.status?.token).toBe('token 1 of default');
  });

  it('deletes only the object with the given UID', async () => {
    const { metadata } = api.put('v1/configmaps', { metadata: { name: 'c', namespace: 'ns' } });
    const ref = { namespace: 'ns', name: 'c' };
    expect((await errorOf(client().delete(CONFIG_MAPS, ref, { uid: 'other', signal }))).code).toBe('kube.conflict');
    await client().delete(CONFIG_MAPS, ref, { uid: metadata.uid ?? '', signal });
    expect(api.list('v1/configmaps')).toEqual([]);
  });

  it('tells an object that exists already from one that has changed', async () => {
    const stored = api.put('v1/configmaps', { metadata: { name: 'c', namespace: 'ns' } });
    const kube = client();
    const exists = await errorOf(
      kube.create(CONFIG_MAPS, { namespace: 'ns' }, { metadata: { name: 'c' } }, { signal }),
    );
    expect([exists.kind, exists.code]).toEqual(['Conflict', 'kube.already-exists']);
    api.put('v1/configmaps', { metadata: { name: 'c', namespace: 'ns' }, data: { a: '1' } });
    const stale = await errorOf(kube.replace(CONFIG_MAPS, { namespace: 'ns', name: 'c' }, stored as never, { signal }));
    expect([stale.kind, stale.code]).toEqual(['Conflict', 'kube.conflict']);
  });

  it.each([
    [400, 'Invalid'],
    [401, 'Unauthenticated'],
    [403, 'Forbidden'],
    [404, 'NotFound'],
    [405, 'Unsupported'],
    [413, 'TooLarge'],
    [422, 'Invalid'],
    [500, 'Unavailable'],
    [503, 'Unavailable'],
    [504, 'DeadlineExceeded'],
  ] as const)('turns status %i into %s with the sentence of the server', async (status, kind) => {
    api.fail(everything, { kind: 'status', status, body: { kind: 'Status', message: 'because' } }, 2);
    const error = await errorOf(client().get(PODS, { namespace: 'ns', name: 'p' }, { signal }));
    expect(error.kind).toBe(kind);
    expect(error.message).toBe(`GET /api/v1/namespaces/ns/pods/p: because (HTTP ${status})`);
    expect(error.details.statusMessage).toBe('because');
  });

  it.each<[string, Fault]>([
    ['a connection that is reset', { kind: 'reset' }],
    ['half a JSON document', { kind: 'text', body: '{"metadata": {' }],
    ['a body that breaks off', { kind: 'torn', body: '{"metadata": {' }],
    ['a page of HTML', { kind: 'text', body: '<html>welcome</html>' }],
  ])('answers Unavailable for %s and does not quote what may be a Secret', async (_, fault) => {
    api.fail(everything, fault, 2);
    const error = await errorOf(client().get(PODS, { namespace: 'ns', name: 'p' }, { signal }));
    expect(error.kind).toBe('Unavailable');
    expect(error.message).not.toMatch(/welcome|metadata": \{$/);
  });

  it('gives up after the time limit when the server is silent', async () => {
    api.fail(everything, { kind: 'silence' });
    const error = await errorOf(client({ timeoutMs: 30 }).get(PODS, { namespace: 'ns', name: 'p' }, { signal }));
    expect(error.kind).toBe('DeadlineExceeded');
  });

  it('rejects with the reason of the abort', async () => {
    api.fail(everything, { kind: 'silence' });
    const controller = new AbortController();
    const call = client().get(PODS, { namespace: 'ns', name: 'p' }, { signal: controller.signal });
    const reason = new Error('enough');
    setImmediate(() => controller.abort(reason));
    await expect(call).rejects.toBe(reason);
  });

  it('reads the credentials again once after a 401', async () => {
    api.put('v1/pods', pod('p'));
    api.fail(({ authorization }) => authorization === 'Bearer old', { kind: 'status', status: 401 }, 10);
    const kube = client({ connection: api.connection(['old', 'new']) });
    await kube.get(PODS, { namespace: 'ns', name: 'p' }, { signal });
    await kube.get(PODS, { namespace: 'ns', name: 'p' }, { signal });
    expect(api.requests.map(({ authorization }) => authorization)).toEqual(['Bearer old', 'Bearer new', 'Bearer new']);
  });

  it('does not ask for ever when fresh credentials are refused too', async () => {
    api.fail(everything, { kind: 'status', status: 401 }, 10);
    expect((await errorOf(client().get(PODS, { namespace: 'ns', name: 'p' }, { signal }))).kind).toBe(
      'Unauthenticated',
    );
    expect(api.requests).toHaveLength(2);
  });

  it('waits as long as a busy server says and repeats', async () => {
    api.put('v1/pods', pod('p'));
    api.fail(everything, { kind: 'status', status: 429, headers: { 'retry-after': '7' } });
    const slept: number[] = [];
    const clock = {
      ...systemClock,
      async sleep(ms: number, options?: { signal?: AbortSignal | undefined }) {
        // Only the wait for the server; deadlines sleep for 30 s and are cancelled.
        if (ms >= 30_000) return systemClock.sleep(ms, options ?? {});
        slept.push(ms);
      },
    };
    await client({ clock }).get(PODS, { namespace: 'ns', name: 'p' }, { signal });
    expect(slept).toEqual([7_000]);
  });

  it('repeats a request whose kept connection the server had closed, but never a create', async () => {
    api.put('v1/pods', pod('p'));
    const kube = client();
    await kube.get(PODS, { namespace: 'ns', name: 'p' }, { signal });
    api.fail(everything, { kind: 'reset' });
    await kube.get(PODS, { namespace: 'ns', name: 'p' }, { signal });
    api.fail(everything, { kind: 'reset' });
    const error = await errorOf(kube.create(PODS, { namespace: 'ns' }, { metadata: { name: 'q' } }, { signal }));
    expect(error.kind).toBe('Unavailable');
    expect(api.get('v1/pods', 'ns', 'q')).toBeUndefined();
  });

  it('lets a burst through and holds the rest to the rate', async () => {
    api.put('v1/pods', pod('p'));
    const kube = client({ rate: { perSecond: 100, burst: 5 } });
    const startedMs = performance.now();
    await Promise.all(Array.from({ length: 10 }, () => kube.get(PODS, { namespace: 'ns', name: 'p' }, { signal })));
    expect(performance.now() - startedMs).toBeGreaterThan(45);
  });

  it('never shows the token in an error', async () => {
    api.fail(everything, { kind: 'status', status: 403 });
    const kube = client({ connection: api.connection(['s3cret']) });
    const error = await errorOf(kube.get(PODS, { namespace: 'ns', name: 'p' }, { signal }));
    expect(JSON.stringify([error.message, error.details, String(error.cause)])).not.toContain('s3cret');
  });

  it('says where it looked when nobody listens', async () => {
    const connection = { ...api.connection(), server: 'http://127.0.0.1:1', source: 'kubeconfig /x' };
    const error = await errorOf(client({ connection }).get(PODS, { namespace: 'ns', name: 'p' }, { signal }));
    expect(kindOf(error)).toBe('Unavailable');
    expect(error.message).toMatch(/http:\/\/127\.0\.0\.1:1 cannot be reached: .*ECONNREFUSED.*see kubeconfig \/x/);
  });
});

describe('watch', () => {
  const query = { namespace: 'ns', timeoutSeconds: 300, idleMs: 60_000 };

  it('gives the full state, then each change', async () => {
    api.put('v1/pods', pod('a'));
    const seen: string[] = [];
    for await (const { type, object } of client().watch(PODS, { ...query, sendInitialEvents: true }, { signal })) {
      seen.push(`${type} ${object.metadata?.name ?? ''}`);
      if (type === 'BOOKMARK') api.put('v1/pods', pod('b'));
      if (object.metadata?.name === 'b') break;
    }
    expect(seen).toEqual(['ADDED a', 'BOOKMARK ', 'ADDED b']);
  });

  it('closes its connection when the reader stops', async () => {
    const events = client().watch(PODS, { ...query, sendInitialEvents: true }, { signal });
    for await (const _ of events) break;
    await expect.poll(() => api.openWatches, { interval: 5 }).toBe(0);
  });

  it.each([
    ['half an event at the end', '{"type":"ADDED","obj'],
    ['a line that is no JSON', 'oops\n'],
    ['an event of an unknown type', '{"type":"SURPRISE","object":{}}\n'],
    ['an event without an object', '{"type":"ADDED"}\n'],
  ])('fails with Unavailable for %s', async (_, body) => {
    api.fail(everything, { kind: 'text', body });
    const read = Array.fromAsync(client().watch(PODS, { ...query, resourceVersion: '1' }, { signal }));
    expect((await errorOf(read)).kind).toBe('Unavailable');
  });

  it('fails with the error of an ERROR event', async () => {
    api.compact();
    const error = await errorOf(Array.fromAsync(client().watch(PODS, { ...query, resourceVersion: '1' }, { signal })));
    expect([error.kind, error.code]).toEqual(['Conflict', 'kube.gone']);
  });

  it('fails when the server says nothing for too long', async () => {
    const events = client().watch(PODS, { ...query, idleMs: 40, resourceVersion: '100' }, { signal });
    const error = await errorOf(Array.fromAsync(events));
    expect([error.kind, error.code]).toEqual(['DeadlineExceeded', 'kube.watch-idle']);
  });

  it('joins characters that arrive in two pieces', async () => {
    const line = Buffer.from(`${JSON.stringify({ type: 'ADDED', object: { metadata: { name: 'ü' } } })}\n`);
    const watching = (async () => {
      for await (const { object } of client().watch(PODS, { ...query, resourceVersion: '100' }, { signal }))
        return object.metadata?.name;
      return undefined;
    })();
    await expect.poll(() => api.openWatches, { interval: 5 }).toBe(1);
    const cut = line.indexOf('ü') + 1;
    api.sendToWatches(line.subarray(0, cut));
    await new Promise((resolve) => setTimeout(resolve, 10));
    api.sendToWatches(line.subarray(cut));
    expect(await watching).toBe('ü');
  });
});
