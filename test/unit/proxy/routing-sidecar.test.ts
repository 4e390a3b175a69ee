import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { InterlinkError } from '../../../src/base/errors.ts';
import type { WatchEvent } from '../../../src/contract/sidecar.ts';
import type { Pod } from '../../../src/kube/types.ts';
import { openRouteStore, type RouteStore } from '../../../src/proxy/route-store.ts';
import { createRoutingSidecar, type Upstream } from '../../../src/proxy/routing-sidecar.ts';
import { createBundle, createPod } from '../../fakes/bundle.ts';
import { FakeClock } from '../../fakes/fake-clock.ts';
import { MemorySidecar } from '../../fakes/memory-sidecar.ts';
import { RecordingLogger } from '../../fakes/recording-logger.ts';
import { temporaryDirectory } from '../../fakes/running.ts';

let clock: FakeClock;
let logger: RecordingLogger;
let routes: RouteStore;
let directory: Awaited<ReturnType<typeof temporaryDirectory>>;
let cpu: MemorySidecar;
let gpu: MemorySidecar;
const call = { signal: new AbortController().signal };
const away = new InterlinkError('Unavailable', 'away');

const podWith = (labels: Record<string, string>): Pod =>
  createPod(({ metadata }) => {
    if (metadata) metadata.labels = labels;
  });
const gpuPod = (): Pod => podWith({ queue: 'gpu' });
const uidOf = (pod: Pod): string => pod.metadata?.uid ?? '';

const upstreams = (): readonly Upstream[] => [
  { name: 'cpu', sidecar: cpu },
  { name: 'gpu', sidecar: gpu, match: { labels: { queue: 'gpu' } } },
];

beforeEach(async () => {
  clock = new FakeClock();
  logger = new RecordingLogger();
  directory = await temporaryDirectory();
  routes = await openRouteStore(directory.path, clock);
  cpu = new MemorySidecar({ clock });
  gpu = new MemorySidecar({ clock });
});
afterEach(async () => {
  routes[Symbol.dispose]();
  await directory[Symbol.asyncDispose]();
});

const create = (list = upstreams()) => createRoutingSidecar(list, { routes, clock, logger });

describe('routing to several sidecars', () => {
  it('sends a pod where its rule says and everything else to the one without a rule', async () => {
    const sidecar = create();
    const [plain, special] = [createPod(), gpuPod()];
    await sidecar.create(createBundle(plain), call);
    await sidecar.create(createBundle(special), call);
    expect([cpu.live, gpu.live]).toEqual([[uidOf(plain)], [uidOf(special)]]);
  });

  it('keeps a pod where its first create went, over a restart and a changed rule', async () => {
    const pod = gpuPod();
    await create().create(createBundle(pod), call);
    routes[Symbol.dispose]();
    routes = await openRouteStore(directory.path, clock);
    const changed = create([
      { name: 'cpu', sidecar: cpu },
      { name: 'gpu', sidecar: gpu, match: { labels: { queue: 'other' } } },
    ]);
    await changed.create(createBundle(pod), call);
    expect(await changed.status([pod], call)).toHaveLength(1);
    expect(cpu.calls).toEqual([]);
    await changed.delete(pod, call);
    expect(gpu.live).toEqual([]);
  });

  it('records the way before it passes a create on, so that an answer that was lost makes no second job', async () => {
    // Injected: the sidecar takes the pod, but its answer does not arrive.
    const pod = gpuPod();
    const sidecar = create();
    await gpu.create(createBundle(pod), call);
    gpu.fail('create', away);
    await expect(sidecar.create(createBundle(pod), call)).rejects.toBe(away);
    expect(routes.get(uidOf(pod))).toBe('gpu');
  });

  it('refuses a late create at the sidecar that was told of the delete', async () => {
    const pod = gpuPod();
    const sidecar = create();
    await sidecar.delete(pod, call);
    await expect(sidecar.create(createBundle(pod), call)).rejects.toMatchObject({ kind: 'Conflict' });
  });

  it('refuses a pod that no sidecar wants, naming what decides', async () => {
    const sidecar = create([{ name: 'gpu', sidecar: gpu, match: { labels: { queue: 'gpu' } } }]);
    await expect(sidecar.create(createBundle(), call)).rejects.toThrow(/fits the rule of no sidecar/);
    await sidecar.delete(createPod(), call);
    expect(await sidecar.status([createPod()], call)).toEqual([]);
  });

  it('fails for a pod whose sidecar is configured no more, and tells so', async () => {
    const pod = gpuPod();
    await create().create(createBundle(pod), call);
    const without = create([{ name: 'cpu', sidecar: cpu }]);
    await expect(without.status([pod], call)).rejects.toThrow(/sidecar gpu, which is configured no more/);
  });

  it('asks each sidecar once for its own pods', async () => {
    const sidecar = create();
    const pods = [createPod(), gpuPod(), createPod(), gpuPod()];
    for (const pod of pods) await sidecar.create(createBundle(pod), call);
    expect(await sidecar.status(pods, call)).toHaveLength(4);
    expect([cpu, gpu].map(({ calls }) => calls.filter(({ name }) => name === 'status').length)).toEqual([1, 1]);
  });

  it('tells what was last heard of a sidecar that is away, and never that its pods are unknown', async () => {
    const sidecar = create();
    const [plain, special, unheard] = [createPod(), gpuPod(), gpuPod()];
    for (const pod of [plain, special, unheard]) await sidecar.create(createBundle(pod), call);
    gpu.start(uidOf(special));
    await sidecar.status([plain, special], call);
    cpu.start(uidOf(plain));
    gpu.fail('status', away, 2);
    const statuses = await sidecar.status([plain, special], call);
    expect(statuses.map(({ uid, sandbox }) => [uid, sandbox]).sort()).toEqual(
      [
        [uidOf(plain), 'Ready'],
        [uidOf(special), 'Ready'],
      ].sort(),
    );
    await expect(sidecar.status([plain, unheard], call)).rejects.toBe(away);
  });

  it('adds offers up, keeps the share of a sidecar that is away, and fails when all are', async () => {
    const sidecar = create();
    cpu.pingResult = { status: 'ok', resources: { cpu: '1500m', memory: '1Gi', pods: '5' } };
    gpu.pingResult = {
      status: 'ok',
      resources: { cpu: '2', memory: '1Gi', accelerators: [{ resourceType: 'nvidia.com/gpu', available: '4' }] },
      taints: [{ key: 'k', effect: 'NoSchedule' }],
    };
    const whole = {
      status: 'ok',
      resources: {
        cpu: '3500m',
        memory: '2147483648',
        pods: '5',
        accelerators: [{ resourceType: 'nvidia.com/gpu', available: '4' }],
      },
      taints: [{ key: 'k', effect: 'NoSchedule' }],
    };
    expect(await sidecar.ping(call)).toEqual(whole);
    gpu.fail('ping', away);
    expect(await sidecar.ping(call)).toEqual(whole);
    cpu.fail('ping', away);
    gpu.fail('ping', away);
    await expect(sidecar.ping(call)).rejects.toBe(away);
  });

  it('declares what all sidecars can', async () => {
    gpu = new MemorySidecar({ clock, capabilities: ['logs.follow', 'exec'] });
    expect((await create().capabilities(call)).capabilities).toEqual(['logs.follow']);
  });

  describe('watch', () => {
    let controller: AbortController;
    let events: AsyncIterator<WatchEvent>;
    const next = async (): Promise<WatchEvent> => {
      for (;;) {
        const { value } = await events.next();
        if (value?.type !== 'HEARTBEAT') return value;
      }
    };
    beforeEach(() => {
      controller = new AbortController();
      events = create().watch({ signal: controller.signal })[Symbol.asyncIterator]();
    });

    it('begins with a snapshot of all and goes on with changes of each', async () => {
      const [plain, special] = [createPod(), gpuPod()];
      await cpu.create(createBundle(plain), call);
      await gpu.create(createBundle(special), call);
      expect(await next()).toMatchObject({ type: 'SNAPSHOT', items: [{ uid: uidOf(plain) }, { uid: uidOf(special) }] });
      cpu.start(uidOf(plain));
      expect(await next()).toMatchObject({ type: 'STATUS', item: { uid: uidOf(plain), sandbox: 'Ready' } });
      gpu.start(uidOf(special));
      expect(await next()).toMatchObject({ type: 'STATUS', item: { uid: uidOf(special), sandbox: 'Ready' } });
      const reason = new Error('enough');
      const ended = events.next();
      controller.abort(reason);
      await expect(ended).rejects.toBe(reason);
    });

    it('fails while one sidecar cannot begin', async () => {
      gpu.fail('watch', away);
      await expect(events.next()).rejects.toBe(away);
    });

    it('opens a watch that broke again and tells what changed meanwhile', async () => {
      const broken = Promise.withResolvers<never>();
      const real = gpu.watch.bind(gpu);
      let opened = 0;
      // Injected: the first watch of this sidecar breaks after its snapshot.
      gpu.watch = async function* (options) {
        opened += 1;
        if (opened > 1) return yield* real(options);
        for await (const event of real(options)) {
          yield event;
          await broken.promise;
        }
      };
      const [kept, forgotten, plain] = [gpuPod(), gpuPod(), createPod()];
      for (const pod of [kept, forgotten]) await gpu.create(createBundle(pod), call);
      await cpu.create(createBundle(plain), call);
      expect(await next()).toMatchObject({ type: 'SNAPSHOT', items: { length: 3 } });
      routes.claim(uidOf(forgotten), 'gpu');
      broken.reject(away);
      cpu.start(uidOf(plain));
      expect(await next()).toMatchObject({ type: 'STATUS', item: { uid: uidOf(plain) } });
      gpu.start(uidOf(kept));
      gpu.forget(uidOf(forgotten));
      const change = next();
      await expect.poll(() => clock.advance(1_000).then(() => opened)).toBe(2);
      expect(await change).toMatchObject({ type: 'STATUS', item: { uid: uidOf(kept), sandbox: 'Ready' } });
      expect(await next()).toEqual({ type: 'DELETED', uid: uidOf(forgotten) });
      expect(routes.get(uidOf(forgotten))).toBeUndefined();
      expect(logger.lines.map(({ message }) => message)).toEqual([
        'watch of a sidecar failed',
        'watch of a sidecar is back',
      ]);
      controller.abort(new Error('enough'));
    });
  });
});

describe('route store', () => {
  it('keeps the first claim, and drops deleted pods after a week only', async () => {
    expect(routes.claim('a', 'cpu')).toBe('cpu');
    expect(routes.claim('a', 'gpu')).toBe('cpu');
    routes.claim('b', 'gpu');
    routes.markDeleted('a');
    const reopen = async () => {
      routes[Symbol.dispose]();
      routes = await openRouteStore(directory.path, clock);
      return [routes.get('a'), routes.get('b')];
    };
    await clock.advance(6 * 24 * 3600_000);
    expect(await reopen()).toEqual(['cpu', 'gpu']);
    await clock.advance(2 * 24 * 3600_000);
    expect(await reopen()).toEqual([undefined, 'gpu']);
  });
});
