import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { systemClock } from '../../../src/base/clock.ts';
import { localCommandRunner } from '../../../src/base/command.ts';
import { InterlinkError } from '../../../src/base/errors.ts';
import { silentLogger } from '../../../src/base/logger.ts';
import { nodeConfig } from '../../../src/node/config.ts';
import { createVirtualNode } from '../../../src/node/virtual-node.ts';
import { FakeKubeApi, type FakeRequest } from '../../fakes/fake-kube-api.ts';
import { MemorySidecar } from '../../fakes/memory-sidecar.ts';
import { temporaryDirectory } from '../../fakes/running.ts';

let api: FakeKubeApi;
let sidecar: MemorySidecar;
let directory: Awaited<ReturnType<typeof temporaryDirectory>>;
let controller: AbortController;
let done: Promise<void>;

const nodeOf = (): Record<string, unknown> | undefined => api.get('v1/nodes', undefined, 'n');
const indexOf = (matches: (request: FakeRequest) => boolean): number => api.requests.findIndex(matches);

function start(settings: Record<string, unknown> = {}): void {
  const kubeconfig = join(directory.path, 'kubeconfig');
  writeFileSync(
    kubeconfig,
    JSON.stringify({
      'current-context': 'c',
      contexts: [{ name: 'c', context: { cluster: 'c', user: 'u' } }],
      clusters: [{ name: 'c', cluster: { server: api.url } }],
      users: [{ name: 'u', user: { token: 't' } }],
    }),
  );
  const config = nodeConfig.parse({
    name: 'n',
    kubeconfig,
    stateDirectory: join(directory.path, 'state'),
    site: { url: 'unix:/nowhere' },
    kubelet: { address: '127.0.0.1', port: 0 },
    ...settings,
  });
  const node = createVirtualNode({
    config,
    clock: systemClock,
    logger: silentLogger,
    commands: localCommandRunner,
    environment: {},
    version: '0.1.0',
    architecture: 'x64',
    sidecar,
  });
  done = node.run(controller.signal);
  done.catch(() => {});
}

beforeEach(async () => {
  directory = await temporaryDirectory();
  api = await FakeKubeApi.start();
  sidecar = new MemorySidecar();
  controller = new AbortController();
});

afterEach(async () => {
  controller.abort();
  await done.catch(() => {});
  await api[Symbol.asyncDispose]();
  await directory[Symbol.asyncDispose]();
});

describe('virtual node', () => {
  it('registers after its pods are known and the site was asked, with the capacity of the site', async () => {
    start();
    await expect.poll(nodeOf, { interval: 5 }).toBeDefined();
    const pods = indexOf(({ path }) => path === '/api/v1/pods');
    expect(pods).toBeGreaterThanOrEqual(0);
    expect(pods).toBeLessThan(indexOf(({ method, path }) => method === 'POST' && path === '/api/v1/nodes'));
    expect(nodeOf()).toMatchObject({ status: { capacity: { cpu: '4', memory: '8Gi', pods: '10' } } });
  });

  it('registers although the site is away', async () => {
    sidecar.fail('ping', new InterlinkError('Unavailable', 'away'), 1_000);
    start();
    await expect.poll(nodeOf, { interval: 5 }).toBeDefined();
  });

  it('tells by condition and event what the administrator has to do for its certificate', async () => {
    start();
    const notice = /kubectl certificate approve interlink-n-[0-9a-f]{10}/;
    await expect
      .poll(() => Object(nodeOf()?.status).conditions?.[0].message, { interval: 10, timeout: 5_000 })
      .toMatch(notice);
    const messages = (): string => JSON.stringify(api.list('v1/events').map(({ message }) => message));
    await expect.poll(messages, { interval: 10, timeout: 5_000 }).toMatch(notice);
  });

  it('gives a sign of life that belongs to the node', async () => {
    start();
    const lease = () => api.get('coordination.k8s.io/v1/leases', 'kube-node-lease', 'n');
    await expect.poll(lease, { interval: 10, timeout: 5_000 }).toBeDefined();
    expect(lease()?.metadata).toMatchObject({ ownerReferences: [{ uid: Object(nodeOf()?.metadata).uid }] });
  });

  it('leaves the node and its pods behind when it is stopped', async () => {
    api.put('v1/pods', {
      metadata: { name: 'p', namespace: 'ns' },
      spec: { nodeName: 'n', containers: [{ name: 'c', image: 'x' }], enableServiceLinks: false },
    });
    start();
    await expect.poll(() => sidecar.live.length, { interval: 5, timeout: 5_000 }).toBe(1);
    await expect.poll(nodeOf, { interval: 5 }).toBeDefined();
    controller.abort();
    await done;
    expect(nodeOf()).toBeDefined();
    expect(api.get('v1/pods', 'ns', 'p')).toBeDefined();
    expect(sidecar.calls.filter(({ name }) => name === 'delete')).toEqual([]);
  });

  it('stops at once while it still waits for the API server', async () => {
    api.fail(() => true, { kind: 'silence' }, 1_000);
    start();
    await expect.poll(() => api.requests.length, { interval: 5 }).toBeGreaterThan(0);
    controller.abort();
    await done;
  });

  it('fails with the reason when its configuration cannot work', async () => {
    start({ kubeconfig: '/nowhere/kubeconfig' });
    await expect(done).rejects.toThrow(/kubeconfig \/nowhere\/kubeconfig: cannot be read/);
  });
});

describe('configuration of a node', () => {
  const site = { url: 'https://site.example' };

  it('needs a name and a site, the rest has defaults', () => {
    expect(nodeConfig.parse({ name: 'n', site })).toMatchObject({
      taints: ['virtual-node.interlink/no-schedule=true:NoSchedule'],
      kubelet: { port: 10_250 },
      site: { pingIntervalSeconds: 10, failureThreshold: 3 },
      leaseDurationSeconds: 40,
    });
  });

  it.each<[string, Record<string, unknown>]>([
    ['a name with capitals', { name: 'N' }],
    ['a name with a slash', { name: '../n' }],
    ['an unknown key', { kubelt: {} }],
    ['a taint without an effect', { taints: ['a=b'] }],
    ['a taint with an unknown effect', { taints: ['a=b:Never'] }],
    ['a negative quantity', { resources: { cpu: '-1' } }],
    ['an absurd quantity', { resources: { memory: 'lots' } }],
    ['an address that is none', { internalIP: 'here' }],
    ['a site without a scheme', { site: { url: 'site.example' } }],
    ['a certificate without its key', { kubelet: { certFile: '/c' } }],
    ['a client certificate without its key', { site: { ...site, certFile: '/c' } }],
    ['no time at all', { leaseRenewSeconds: 0 }],
  ])('refuses %s', (_, wrong) => {
    expect(nodeConfig.safeParse({ name: 'n', site, ...wrong }).success).toBe(false);
  });
});
