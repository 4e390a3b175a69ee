import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { silentLogger } from '../../../src/base/logger.ts';
import { createKubeClient } from '../../../src/kube/client.ts';
import { PODS } from '../../../src/kube/kinds.ts';
import type { KubeClient } from '../../../src/kube/kube-client.ts';
import { createReflector, type Reflector } from '../../../src/kube/reflector.ts';
import type { Pod } from '../../../src/kube/types.ts';
import { FakeClock } from '../../fakes/fake-clock.ts';
import { FakeKubeApi, type FakeRequest, type Fault } from '../../fakes/fake-kube-api.ts';

let api: FakeKubeApi;
let clock: FakeClock;
let kube: KubeClient;
let changes: string[];
let controller: AbortController;
let done: Promise<void>;

const isWatch = ({ query }: FakeRequest): boolean => query.get('watch') === 'true';
const watches = (): FakeRequest[] => api.requests.filter(isWatch);

function put(name: string, extra: object = {}): void {
  api.put('v1/pods', { metadata: { name, namespace: 'ns', ...extra }, spec: { nodeName: 'n' } });
}

function start(options: { readonly idleMs?: number } = {}): Reflector<Pod> {
  const nameOf = ({ metadata }: Pod): string => `${metadata?.name} ${metadata?.labels?.v ?? ''}`.trim();
  const reflector = createReflector(
    { kube, clock, logger: silentLogger },
    {
      kind: PODS,
      query: { fieldSelector: 'spec.nodeName=n' },
      handlers: {
        added: (pod) => changes.push(`+${nameOf(pod)}`),
        updated: (pod, before) => changes.push(`~${nameOf(before)} to ${nameOf(pod)}`),
        deleted: (pod) => changes.push(`-${nameOf(pod)}`),
      },
      random: () => 0,
      ...options,
    },
  );
  done = reflector.run(controller.signal);
  return reflector;
}

/** Until it holds, with time passing. */
async function eventually(check: () => void): Promise<void> {
  for (let left = 400; ; left--) {
    try {
      check();
      return;
    } catch (error) {
      if (left === 0) throw error;
    }
    await clock.advance(300);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

async function following(): Promise<void> {
  await eventually(() => expect(api.openWatches).toBe(1));
}

beforeEach(async () => {
  api = await FakeKubeApi.start();
  clock = new FakeClock();
  kube = createKubeClient({ connection: api.connection(), clock, logger: silentLogger, userAgent: 'test' });
  changes = [];
  controller = new AbortController();
});

afterEach(async () => {
  controller.abort();
  await done;
  kube[Symbol.dispose]();
  await api[Symbol.asyncDispose]();
});

describe.each([
  ['that streams the initial state', true],
  ['that only lists', false],
])('reflector of a server %s', (_, streams) => {
  beforeEach(() => {
    api.streamsInitialState = streams;
  });

  it('is ready with the full state and follows changes', async () => {
    put('a');
    put('b');
    const reflector = start();
    await eventually(() => expect(changes).toEqual(['+a', '+b']));
    await reflector.ready;
    await following();
    put('a', { labels: { v: '2' } });
    api.remove('v1/pods', 'ns', 'b');
    await eventually(() => expect(changes.slice(2)).toEqual(['~a to a 2', '-b']));
    expect(reflector.list().map(({ metadata }) => metadata?.name)).toEqual(['a']);
    expect(reflector.get('ns', 'a')?.metadata?.labels).toEqual({ v: '2' });
  });

  it('finds out what it missed when its version has expired', async () => {
    for (const name of ['kept', 'changed', 'deleted', 'remade']) put(name);
    start();
    await eventually(() => expect(changes).toHaveLength(4));
    await following();
    api.endWatches('reset');
    put('changed', { labels: { v: '2' } });
    api.remove('v1/pods', 'ns', 'deleted');
    api.remove('v1/pods', 'ns', 'remade');
    put('remade', { labels: { v: 'new' } });
    put('added');
    api.compact();
    await eventually(() => expect(changes.slice(4)).toHaveLength(5));
    expect(changes.slice(4)).toEqual([
      ...['-deleted', '-remade'],
      ...['~changed to changed 2', '+remade new', '+added'].sort((a, b) => order(a) - order(b)),
    ]);
  });
});

function order(change: string): number {
  return ['~changed to changed 2', '+remade new', '+added'].indexOf(change);
}

describe('reflector', () => {
  it.each<[string, Fault]>([
    ['a reset connection', { kind: 'reset' }],
    ['status 500', { kind: 'status', status: 500 }],
    ['status 503', { kind: 'status', status: 503 }],
    ['status 401', { kind: 'status', status: 401 }],
    ['status 403', { kind: 'status', status: 403 }],
    ['an end in good order', { kind: 'text', body: '' }],
    ['an end in the middle of an event', { kind: 'text', body: '{"type":"ADD' }],
    ['a reset in the middle of an event', { kind: 'torn', body: '{"type":"ADD' }],
    ['HTML', { kind: 'text', body: '<html>\n' }],
    ['silence', { kind: 'silence' }],
  ])('goes on after %s of its first request and of its watch', async (_, fault) => {
    put('a');
    api.fail(isWatch, fault, 2);
    start();
    await eventually(() => expect(changes).toEqual(['+a']));
    await following();
    api.fail(isWatch, fault, 2);
    api.endWatches('reset');
    put('b');
    await eventually(() => expect(changes).toEqual(['+a', '+b']));
  });

  it('sees a delete and a new object of the same name in a gap as both', async () => {
    put('a', { labels: { v: 'old' } });
    start();
    await eventually(() => expect(changes).toEqual(['+a old']));
    await following();
    api.endWatches('eof');
    api.remove('v1/pods', 'ns', 'a');
    put('a', { labels: { v: 'new' } });
    await eventually(() => expect(changes).toEqual(['+a old', '-a old', '+a new']));
  });

  it('goes on from the version of a bookmark', async () => {
    put('a');
    start();
    await following();
    await eventually(() => expect(changes).toEqual(['+a']));
    api.bookmark();
    put('b');
    await eventually(() => expect(changes).toEqual(['+a', '+b']));
    api.bookmark();
    await new Promise((resolve) => setTimeout(resolve, 20));
    api.compact();
    api.endWatches('eof');
    await eventually(() => expect(watches()).toHaveLength(2));
    await following();
    // Without the bookmark the version would have expired and a full state would follow.
    expect(watches()[1]?.query.get('sendInitialEvents')).toBeNull();
    expect(changes).toEqual(['+a', '+b']);
  });

  it('replaces a watch that is silent for longer than bookmarks are apart', async () => {
    put('a');
    start({ idleMs: 5_000 });
    await eventually(() => expect(changes).toEqual(['+a']));
    await following();
    const before = watches().length;
    await eventually(() => expect(watches().length).toBeGreaterThan(before));
    put('b');
    await eventually(() => expect(changes).toEqual(['+a', '+b']));
  });

  it('waits as long as a busy server says', async () => {
    api.fail(isWatch, { kind: 'status', status: 429, headers: { 'retry-after': '20' } });
    put('a');
    start();
    await expect.poll(() => watches().length, { interval: 2 }).toBe(1);
    await clock.advance(19_000);
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(watches()).toHaveLength(1);
    await eventually(() => expect(changes).toEqual(['+a']));
  });

  it('does not ask in a tight loop when each watch ends at once', async () => {
    api.fail(isWatch, { kind: 'text', body: '' }, 1_000);
    start();
    await eventually(() => expect(watches().length).toBeGreaterThan(1));
    const before = watches().length;
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(watches().length).toBe(before);
  });

  it('asks for bookmarks and for an end after five to ten minutes', async () => {
    start();
    await following();
    const { query } = watches()[0] ?? {};
    expect(query?.get('allowWatchBookmarks')).toBe('true');
    expect(Number(query?.get('timeoutSeconds'))).toBe(300);
  });

  it('leaves managed fields out and nothing else', async () => {
    put('a', { managedFields: [{ manager: 'x' }], future: { field: 1 } });
    const reflector = start();
    await eventually(() => expect(changes).toEqual(['+a']));
    expect(reflector.get('ns', 'a')?.metadata).not.toHaveProperty('managedFields');
    expect(reflector.get('ns', 'a')?.metadata).toHaveProperty('future', { field: 1 });
  });

  it('ends without an error when it is stopped, at any moment', async () => {
    api.fail(isWatch, { kind: 'silence' }, 10);
    start();
    await expect.poll(() => watches().length, { interval: 2 }).toBe(1);
    controller.abort(new Error('stop'));
    await expect(done).resolves.toBeUndefined();
  });
});
