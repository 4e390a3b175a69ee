import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { silentLogger } from '../../../src/base/logger.ts';
import type { Service } from '../../../src/base/service.ts';
import { createKubeClient } from '../../../src/kube/client.ts';
import type { KubeClient } from '../../../src/kube/kube-client.ts';
import { createLeaseController } from '../../../src/node/lease-controller.ts';
import { FakeClock } from '../../fakes/fake-clock.ts';
import { FakeKubeApi, type FakeObject, type FakeRequest } from '../../fakes/fake-kube-api.ts';

const LEASES = 'coordination.k8s.io/v1/leases';

let api: FakeKubeApi;
let clock: FakeClock;
let kube: KubeClient;
let controller: AbortController;
let done: Promise<void>;
let nodeUid: string | undefined;
let service: Service;

const lease = (): FakeObject | undefined => api.get(LEASES, 'kube-node-lease', 'n');
const specOf = (object: FakeObject | undefined): Record<string, unknown> => Object(object?.spec);
const isWrite = ({ method }: FakeRequest): boolean => method !== 'GET';

beforeEach(async () => {
  api = await FakeKubeApi.start();
  clock = new FakeClock(Date.parse('2026-11-25T12:00:00.123Z'));
  kube = createKubeClient({ connection: api.connection(), clock, logger: silentLogger, userAgent: 'test' });
  controller = new AbortController();
  nodeUid = 'uid-1';
  service = createLeaseController(
    { kube, clock, logger: silentLogger, nodeUid: () => nodeUid },
    { nodeName: 'n', durationSeconds: 40, renewSeconds: 10 },
  );
});

afterEach(async () => {
  controller.abort();
  await done;
  kube[Symbol.dispose]();
  await api[Symbol.asyncDispose]();
});

function start(): void {
  done = service.run(controller.signal);
}

async function renewals(count: number): Promise<void> {
  await expect.poll(() => api.requests.filter(isWrite).length, { interval: 2 }).toBe(count);
  await new Promise((resolve) => setTimeout(resolve, 5));
}

describe('lease controller', () => {
  it('makes a Lease that belongs to the Node, with the one layout of time that is accepted', async () => {
    start();
    await service.ready;
    expect(lease()?.metadata).toMatchObject({
      ownerReferences: [{ apiVersion: 'v1', kind: 'Node', name: 'n', uid: 'uid-1' }],
    });
    expect(specOf(lease())).toEqual({
      holderIdentity: 'n',
      leaseDurationSeconds: 40,
      renewTime: '2026-11-25T12:00:00.123000Z',
    });
  });

  it('renews every ten seconds by one write and no read', async () => {
    start();
    await service.ready;
    await renewals(1);
    const before = api.requests.length;
    for (let i = 1; i <= 3; i++) {
      await clock.advance(10_000);
      await renewals(1 + i);
    }
    expect(api.requests.slice(before).map(({ method }) => method)).toEqual(['PUT', 'PUT', 'PUT']);
    expect(specOf(lease())).toMatchObject({ renewTime: '2026-11-25T12:00:30.123000Z' });
  });

  it('takes over a Lease that is there and keeps what others wrote on it', async () => {
    api.put(LEASES, { metadata: { name: 'n', namespace: 'kube-node-lease', labels: { a: 'b' } }, spec: { other: 1 } });
    start();
    await service.ready;
    expect(lease()).toMatchObject({ metadata: { labels: { a: 'b' } }, spec: { other: 1, holderIdentity: 'n' } });
  });

  it('waits for the Node and follows it when it is made anew', async () => {
    nodeUid = undefined;
    start();
    await clock.advance(5_000);
    expect(lease()).toBeUndefined();
    nodeUid = 'uid-1';
    await clock.advance(1_000);
    await service.ready;
    nodeUid = 'uid-2';
    await clock.advance(10_000);
    await expect.poll(() => lease()?.metadata.ownerReferences, { interval: 2 }).toMatchObject([{ uid: 'uid-2' }]);
  });

  it.each<[string, () => void]>([
    [
      'somebody else wrote the Lease',
      () => api.put(LEASES, { ...(lease() as FakeObject), spec: { holderIdentity: 'x' } }),
    ],
    ['somebody removed it', () => api.remove(LEASES, 'kube-node-lease', 'n')],
    ['the server fails three times', () => api.fail(isWrite, { kind: 'status', status: 500 }, 3)],
    ['the connection breaks', () => api.fail(isWrite, { kind: 'reset' }, 4)],
    ['the server is silent for one interval', () => api.fail(isWrite, { kind: 'silence' })],
  ])('is renewed within 20 s when %s', async (_, fault) => {
    start();
    await service.ready;
    fault();
    for (let i = 0; i < 20; i++) {
      await clock.advance(1_000);
      await new Promise((resolve) => setTimeout(resolve, 4));
    }
    const renewed = Date.parse(String(specOf(lease()).renewTime).replace('000Z', 'Z'));
    expect(clock.nowMs() - renewed).toBeLessThanOrEqual(10_000);
    expect(specOf(lease())).toMatchObject({ holderIdentity: 'n' });
  });

  it('leaves the Lease behind at the end', async () => {
    start();
    await service.ready;
    controller.abort();
    await done;
    expect(lease()).toBeDefined();
  });
});
