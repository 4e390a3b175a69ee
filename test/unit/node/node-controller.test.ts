import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { silentLogger } from '../../../src/base/logger.ts';
import { createKubeClient } from '../../../src/kube/client.ts';
import type { KubeClient } from '../../../src/kube/kube-client.ts';
import type { Node } from '../../../src/kube/types.ts';
import { createNodeController, type NodeController } from '../../../src/node/node-controller.ts';
import { type NodeFacts, wantedNode } from '../../../src/node/node-object.ts';
import type { SiteState } from '../../../src/node/site-monitor.ts';
import { FakeClock } from '../../fakes/fake-clock.ts';
import { FakeKubeApi, type FakeRequest } from '../../fakes/fake-kube-api.ts';

let api: FakeKubeApi;
let clock: FakeClock;
let kube: KubeClient;
let facts: NodeFacts;
let node: NodeController;
let stop: () => Promise<void>;
let register: () => void;

const OURS = { key: 'virtual-node.interlink/no-schedule', value: 'true', effect: 'NoSchedule' };
const SITE_DOWN = { key: 'virtual-node.interlink/site-unreachable', value: 'true', effect: 'NoSchedule' };
const stored = (): Node => api.get('v1/nodes', undefined, 'n') as unknown as Node;
const writes = (): FakeRequest[] => api.requests.filter(({ method }) => method !== 'GET');
const conditionOf = (type: string) => stored().status?.conditions?.find((one) => one.type === type);

function site(state: Partial<SiteState>): SiteState {
  return {
    connection: 'reachable',
    problem: '',
    offer: { resources: { cpu: '64', memory: '256Gi', pods: '500', 'nvidia.com/gpu': '4' }, taints: undefined },
    ...state,
  };
}

function launch(): void {
  const gate = Promise.withResolvers<void>();
  register = gate.resolve;
  const controller = new AbortController();
  node = createNodeController(
    { kube, clock, logger: silentLogger, wanted: () => wantedNode(facts), mayRegister: gate.promise },
    { nodeName: 'n', statusReportMs: 300_000 },
  );
  const done = node.run(controller.signal);
  stop = async () => {
    controller.abort();
    await done;
  };
}

async function start(): Promise<void> {
  launch();
  register();
  await node.ready;
  await calm();
}

function change(next: Partial<NodeFacts>): void {
  facts = { ...facts, ...next };
  node.changed();
}

/** Until nothing has been asked of the server for a while, with time passing. */
async function calm(): Promise<void> {
  for (let quiet = 0, before = -1; quiet < 4; quiet++) {
    await clock.advance(600);
    await new Promise((resolve) => setTimeout(resolve, 3));
    if (api.requests.length !== before) quiet = 0;
    before = api.requests.length;
  }
}

beforeEach(async () => {
  api = await FakeKubeApi.start();
  clock = new FakeClock(Date.parse('2026-11-25T12:00:00Z'));
  kube = createKubeClient({ connection: api.connection(), clock, logger: silentLogger, userAgent: 'test' });
  facts = {
    name: 'n',
    labels: { site: 'hpc' },
    taints: ['virtual-node.interlink/no-schedule=true:NoSchedule'],
    resources: {},
    internalIP: '10.0.0.1',
    hostname: undefined,
    kubeletPort: 10_250,
    version: '0.1.0',
    architecture: 'x64',
    site: site({}),
    notice: '',
  };
});

afterEach(async () => {
  await stop();
  kube[Symbol.dispose]();
  await api[Symbol.asyncDispose]();
});

describe('node controller', () => {
  it('registers a usable node by one request, once it may', async () => {
    launch();
    await calm();
    expect(writes()).toEqual([]);
    register();
    await node.ready;
    await calm();
    expect(writes().map(({ method, path }) => `${method} ${path}`)).toEqual(['POST /api/v1/nodes']);
    expect(stored()).toMatchObject({
      metadata: {
        labels: {
          'kubernetes.io/os': 'linux',
          'kubernetes.io/arch': 'amd64',
          'kubernetes.io/hostname': 'n',
          site: 'hpc',
        },
      },
      spec: { taints: [OURS] },
      status: {
        capacity: { cpu: '64', memory: '256Gi', pods: '500', 'nvidia.com/gpu': '4' },
        allocatable: { cpu: '64', memory: '256Gi', pods: '500', 'nvidia.com/gpu': '4' },
        addresses: [{ type: 'InternalIP', address: '10.0.0.1' }],
        daemonEndpoints: { kubeletEndpoint: { Port: 10_250 } },
        nodeInfo: { operatingSystem: 'linux', architecture: 'amd64' },
      },
    });
    expect(stored().status?.conditions?.map(({ type, status }) => `${type}=${status}`)).toEqual([
      'Ready=True',
      'MemoryPressure=False',
      'DiskPressure=False',
      'PIDPressure=False',
      'NetworkUnavailable=False',
      'InterlinkConnectivity=True',
    ]);
  });

  it('writes nothing while nothing changes, but for the report every five minutes', async () => {
    await start();
    const before = writes().length;
    const since = conditionOf('Ready')?.lastTransitionTime;
    await clock.advance(290_000);
    await calm();
    expect(writes().length).toBe(before);
    await clock.advance(20_000);
    await calm();
    expect(writes().length).toBe(before + 1);
    expect(conditionOf('Ready')?.lastTransitionTime).toBe(since);
    expect(conditionOf('Ready')?.lastHeartbeatTime).not.toBe(since);
  });

  it('adopts a node that is there and keeps what others put on it', async () => {
    api.put('v1/nodes', {
      metadata: { name: 'n', labels: { theirs: 'x' }, annotations: { note: 'y' } },
      spec: { taints: [{ key: 'theirs', effect: 'NoExecute' }], unschedulable: true },
      status: {
        capacity: { 'example.com/dongle': '3' },
        conditions: [
          { type: 'Ready', status: 'Unknown', reason: 'NodeStatusUnknown', lastTransitionTime: '2026-01-01T00:00:00Z' },
          { type: 'DiskPressure', status: 'False', lastTransitionTime: '2026-01-01T00:00:00Z' },
          { type: 'KernelDeadlock', status: 'False' },
        ],
      },
    });
    await start();
    expect(stored()).toMatchObject({
      metadata: { labels: { theirs: 'x', site: 'hpc' }, annotations: { note: 'y' } },
      spec: { taints: [{ key: 'theirs', effect: 'NoExecute' }, OURS], unschedulable: true },
      status: { capacity: { 'example.com/dongle': '3', cpu: '64' } },
    });
    expect(conditionOf('KernelDeadlock')).toBeDefined();
    expect(conditionOf('Ready')).toMatchObject({ status: 'True', lastTransitionTime: '2026-11-25T12:00:00Z' });
    expect(conditionOf('DiskPressure')).toMatchObject({ lastTransitionTime: '2026-01-01T00:00:00Z' });
  });

  it('registers again at once when somebody deletes the node', async () => {
    await start();
    const { uid } = stored().metadata ?? {};
    api.remove('v1/nodes', undefined, 'n');
    await calm();
    expect(stored().metadata?.uid).not.toBe(uid);
    expect(node.node?.metadata?.uid).toBe(stored().metadata?.uid);
    expect(stored().spec?.taints).toEqual([OURS]);
  });

  it('follows a node that somebody deleted and made anew', async () => {
    await start();
    api.remove('v1/nodes', undefined, 'n');
    api.put('v1/nodes', { metadata: { name: 'n' } });
    await calm();
    expect(node.node?.metadata?.uid).toBe(stored().metadata?.uid);
    expect(stored()).toMatchObject({ spec: { taints: [OURS] }, status: { capacity: { cpu: '64' } } });
  });

  it('puts right what somebody changed of ours', async () => {
    await start();
    const object = structuredClone(stored()) as Node;
    const labels = { ...object.metadata?.labels, 'kubernetes.io/os': 'windows', mine: '1' };
    const taints = [{ key: 'cordon', effect: 'NoSchedule' }];
    const conditions = [{ type: 'Ready', status: 'Unknown' }];
    api.put('v1/nodes', {
      ...object,
      metadata: { ...object.metadata, labels } as never,
      spec: { taints },
      status: { ...object.status, conditions, addresses: [{ type: 'InternalIP', address: '6.6.6.6' }] },
    });
    await calm();
    expect(stored().metadata?.labels).toMatchObject({ 'kubernetes.io/os': 'linux', mine: '1' });
    expect(stored().spec?.taints).toEqual([...taints, OURS]);
    expect(stored().status?.addresses).toEqual([{ type: 'InternalIP', address: '10.0.0.1' }]);
    expect(conditionOf('Ready')?.status).toBe('True');
  });

  it('shows capacity that comes and goes, devices too', async () => {
    await start();
    change({ site: site({ offer: { resources: { cpu: '32', 'amd.com/gpu': '2' }, taints: [] } }) });
    await calm();
    for (const resources of [stored().status?.capacity, stored().status?.allocatable])
      expect(resources).toEqual({ cpu: '32', 'amd.com/gpu': '2', pods: '1000' });
  });

  it('removes what an earlier process put there and this one does not want', async () => {
    await start();
    await stop();
    facts = { ...facts, labels: {}, taints: [], site: site({ offer: { resources: { cpu: '1' }, taints: [] } }) };
    await start();
    expect(stored().metadata?.labels).not.toHaveProperty('site');
    expect(stored().spec?.taints).toEqual([]);
    expect(stored().status?.capacity).toEqual({ cpu: '1', pods: '1000' });
  });

  it('lets the configuration win over the site', async () => {
    facts = { ...facts, resources: { cpu: '8', 'nvidia.com/gpu': '1' } };
    await start();
    expect(stored().status?.capacity).toMatchObject({ cpu: '8', 'nvidia.com/gpu': '1', memory: '256Gi' });
  });

  it('does not write again because the server spells a quantity differently', async () => {
    await start();
    const object = stored();
    const capacity = { cpu: '64k', memory: '262144Mi', pods: '0.5k', 'nvidia.com/gpu': '4' };
    const same = { ...capacity, cpu: '64' };
    api.put('v1/nodes', { ...object, status: { ...object.status, capacity: same, allocatable: same } } as never);
    const before = writes().length;
    await calm();
    expect(writes().length).toBe(before);
    expect(stored().status?.capacity).toEqual(same);
  });

  it('stays Ready but takes no new pods while the site is away', async () => {
    await start();
    change({ site: site({ connection: 'unreachable', problem: 'connection refused' }) });
    await calm();
    expect(conditionOf('Ready')?.status).toBe('True');
    expect(conditionOf('InterlinkConnectivity')).toMatchObject({ status: 'False', message: 'connection refused' });
    expect(conditionOf('NetworkUnavailable')?.status).toBe('True');
    expect(stored().spec?.taints).toEqual([OURS, SITE_DOWN]);
    change({ site: site({}) });
    await calm();
    expect(stored().spec?.taints).toEqual([OURS]);
    expect(conditionOf('NetworkUnavailable')?.status).toBe('False');
  });

  it('shows what an administrator has to do', async () => {
    facts = { ...facts, notice: 'kubectl certificate approve x' };
    await start();
    expect(conditionOf('Ready')).toMatchObject({
      status: 'True',
      message: 'interlink is ready; kubectl certificate approve x',
    });
  });

  it('writes the status although it may not change labels and taints, and asks again only after a while', async () => {
    await start();
    api.fail(
      ({ method, path }) => method === 'PATCH' && path === '/api/v1/nodes/n',
      { kind: 'status', status: 403 },
      50,
    );
    const before = writes().length;
    change({ labels: { site: 'other' }, site: site({ connection: 'unreachable', problem: 'x' }) });
    await calm();
    change({ notice: 'once more' });
    await calm();
    const refused = writes()
      .slice(before)
      .filter(({ path }) => path === '/api/v1/nodes/n');
    expect(refused).toHaveLength(2);
    expect(conditionOf('NetworkUnavailable')?.status).toBe('True');
    expect(conditionOf('Ready')?.message).toMatch(/once more/);
  });

  it('loses no taint that somebody adds at the same moment', async () => {
    await start();
    const theirs = { key: 'theirs', effect: 'NoSchedule' };
    // The controller decides on the version before; the change lands first, so its patch is a conflict.
    const race = structuredClone(stored()) as Node;
    change({ site: site({ connection: 'unreachable', problem: 'x' }) });
    api.put('v1/nodes', { ...race, spec: { taints: [OURS, theirs] } } as never);
    await calm();
    expect(stored().spec?.taints).toEqual(expect.arrayContaining([OURS, theirs, SITE_DOWN]));
  });

  it.each([
    ['answers 500', 500],
    ['answers 409', 409],
    ['answers 503', 503],
  ])('tries until it succeeds when the server %s', async (_, status) => {
    await start();
    api.fail(({ method }) => method === 'PATCH', { kind: 'status', status }, 3);
    change({ notice: 'x' });
    for (let i = 0; i < 4; i++) await calm();
    expect(conditionOf('Ready')?.message).toMatch(/; x$/);
  });

  it('registers although the first attempts fail', async () => {
    api.fail(({ method }) => method === 'POST', { kind: 'status', status: 500 }, 3);
    launch();
    register();
    for (let i = 0; i < 6; i++) await calm();
    expect(stored()).toBeDefined();
  });

  it('ends when it is told to, also before it was ready', async () => {
    api.fail(() => true, { kind: 'silence' }, 100);
    launch();
    await stop();
    expect(writes()).toEqual([]);
  });
});
