import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { kindOf } from '../../../src/base/errors.ts';
import { silentLogger } from '../../../src/base/logger.ts';
import { createKubeClient } from '../../../src/kube/client.ts';
import { SECRETS } from '../../../src/kube/kinds.ts';
import type { KubeClient } from '../../../src/kube/kube-client.ts';
import { createObjectWatcher, type ObjectWatcher } from '../../../src/kube/object-watcher.ts';
import type { Secret } from '../../../src/kube/types.ts';
import { FakeClock } from '../../fakes/fake-clock.ts';
import { FakeKubeApi, type FakeRequest } from '../../fakes/fake-kube-api.ts';

const { signal } = new AbortController();
const isWatch = ({ query }: FakeRequest): boolean => query.get('watch') === 'true';

let api: FakeKubeApi;
let clock: FakeClock;
let kube: KubeClient;
let watcher: ObjectWatcher<Secret>;

const put = (name: string, value: string): unknown =>
  api.put('v1/secrets', { metadata: { name, namespace: 'ns' }, data: { value } });
const gets = (): number => api.requests.filter((request) => !isWatch(request)).length;

async function watching(count: number): Promise<void> {
  await expect.poll(() => api.openWatches, { interval: 2 }).toBe(count);
}

beforeEach(async () => {
  api = await FakeKubeApi.start();
  clock = new FakeClock();
  kube = createKubeClient({ connection: api.connection(), clock, logger: silentLogger, userAgent: 'test' });
  watcher = createObjectWatcher({ kube, clock, logger: silentLogger }, { kind: SECRETS, maxWatches: 3 });
});

afterEach(async () => {
  await watcher[Symbol.asyncDispose]();
  kube[Symbol.dispose]();
  await api[Symbol.asyncDispose]();
});

describe('object watcher', () => {
  it('gives the object at once and tells of each change', async () => {
    put('s', '1');
    using secret = watcher.acquire('ns', 's');
    expect((await secret.current({ signal }))?.data).toEqual({ value: '1' });
    await watching(1);
    let changes = 0;
    secret.onChange(() => {
      changes += 1;
    });
    put('s', '2');
    await expect.poll(() => changes, { interval: 2 }).toBeGreaterThan(0);
    await expect.poll(async () => (await secret.current({ signal }))?.data, { interval: 2 }).toEqual({ value: '2' });
  });

  it('asks for that one object and never for the namespace', async () => {
    using _ = watcher.acquire('ns', 's');
    await watching(1);
    expect(api.requests.filter(isWatch).map(({ path, query }) => [path, query.get('fieldSelector')])).toEqual([
      ['/api/v1/namespaces/ns/secrets', 'metadata.name=s'],
    ]);
  });

  it('shares one watch between all who need the object and ends it with the last', async () => {
    put('s', '1');
    const holders = Array.from({ length: 20 }, () => watcher.acquire('ns', 's'));
    await Promise.all(holders.map((holder) => holder.current({ signal })));
    await watching(1);
    expect(gets()).toBeLessThanOrEqual(1);
    for (const holder of holders.slice(1)) holder[Symbol.dispose]();
    await watching(1);
    holders[0]?.[Symbol.dispose]();
    holders[0]?.[Symbol.dispose]();
    await watching(0);
  });

  it('tells of an object that goes between the question for it and the beginning of its watch, and gives it no more', async () => {
    put('s', '1');
    api.fail(isWatch, { kind: 'status', status: 503 });
    using secret = watcher.acquire('ns', 's');
    expect(await secret.current({ signal })).toBeDefined();
    let changes = 0;
    secret.onChange(() => {
      changes += 1;
    });
    api.remove('v1/secrets', 'ns', 's');
    await expect
      .poll(
        async () => {
          await clock.advance(100);
          return changes;
        },
        { interval: 2 },
      )
      .toBe(1);
    expect(await secret.current({ signal })).toBeUndefined();
  });

  it('no longer gives an object that its watch has seen go, however fresh the last answer is', async () => {
    put('s', '1');
    using secret = watcher.acquire('ns', 's');
    await secret.current({ signal });
    await watching(1);
    const gone = new Promise<void>((resolve) => secret.onChange(() => resolve()));
    api.remove('v1/secrets', 'ns', 's');
    await gone;
    await expect.poll(() => secret.current({ signal }), { interval: 2 }).toBeUndefined();
  });

  it('takes an immutable object as it is and no longer follows it, also one that becomes so', async () => {
    api.put('v1/secrets', { metadata: { name: 's', namespace: 'ns' }, data: { value: '1' } });
    using secret = watcher.acquire('ns', 's');
    await watching(1);
    api.put('v1/secrets', { metadata: { name: 's', namespace: 'ns' }, data: { value: '2' }, immutable: true });
    await watching(0);
    expect((await secret.current({ signal }))?.data).toEqual({ value: '2' });
    const asked = api.requests.length;
    await clock.advance(600_000);
    expect((await secret.current({ signal }))?.data).toEqual({ value: '2' });
    expect(api.requests).toHaveLength(asked);
  });

  it('knows an object that was made a moment before its watch tells of it', async () => {
    using secret = watcher.acquire('ns', 's');
    await watching(1);
    expect(await secret.current({ signal })).toBeUndefined();
    await clock.advance(2_000);
    put('s', '1');
    expect((await secret.current({ signal }))?.data).toEqual({ value: '1' });
  });

  it('notices by asking where it may only get, and watches nothing in that namespace again', async () => {
    api.fail(isWatch, { kind: 'status', status: 403 }, 100);
    using secret = watcher.acquire('ns', 's');
    let changes = 0;
    secret.onChange(() => {
      changes += 1;
    });
    const askedFor = async (): Promise<number> => {
      await clock.advance(1_000);
      return gets();
    };
    await expect.poll(askedFor, { interval: 2 }).toBeGreaterThan(0);
    // A node's rights come a moment after the pod: one refusal is no reason to give up.
    const watches = api.requests.filter(isWatch).length;
    expect(watches).toBe(3);
    put('s', '1');
    await expect
      .poll(
        async () => {
          await clock.advance(1_000);
          return changes;
        },
        { interval: 2 },
      )
      .toBe(1);
    using _ = watcher.acquire('ns', 'other');
    await expect
      .poll(() => api.requests.some(({ path }) => path.endsWith('/secrets/other')), { interval: 2 })
      .toBe(true);
    expect(api.requests.filter(isWatch)).toHaveLength(watches);
  });

  it('asks from time to time for what is above the limit of watches', async () => {
    for (const name of ['a', 'b', 'c', 'd']) put(name, name);
    const all = ['a', 'b', 'c', 'd'].map((name) => watcher.acquire('ns', name));
    await watching(3);
    expect((await all[3]?.current({ signal }))?.data).toEqual({ value: 'd' });
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(api.openWatches).toBe(3);
  });

  it('passes on why the object cannot be had', async () => {
    api.fail(() => true, { kind: 'status', status: 403 }, 100);
    using secret = watcher.acquire('ns', 's');
    const error = await secret.current({ signal }).catch((reason: unknown) => reason);
    expect(kindOf(error)).toBe('Forbidden');
  });
});
