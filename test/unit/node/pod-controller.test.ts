import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, it, onTestFinished } from 'vitest';
import { InterlinkError } from '../../../src/base/errors.ts';
import { silentLogger } from '../../../src/base/logger.ts';
import type { WatchEvent } from '../../../src/contract/sidecar.ts';
import { createKubeClient } from '../../../src/kube/client.ts';
import type { EventToRecord } from '../../../src/kube/event-recorder.ts';
import type { ContainerStatus, Node, Pod, PodStatusFields } from '../../../src/kube/types.ts';
import {
  createPodController,
  type PodController,
  type PodControllerOptions,
} from '../../../src/node/pod-controller.ts';
import { FakeKubeApi, type FakeObject } from '../../fakes/fake-kube-api.ts';
import { FastClock } from '../../fakes/fast-clock.ts';
import { MemorySidecar, type MemorySidecarOptions } from '../../fakes/memory-sidecar.ts';
import { running } from '../../fakes/running.ts';

/** An API server, a site, and a node between them that can be stopped and started. Seconds of the node are 10 ms here. */
class Bench implements AsyncDisposable {
  readonly clock = new FastClock(100);
  readonly events: EventToRecord[] = [];
  readonly site: MemorySidecar;
  readonly api: FakeKubeApi;
  readonly #options: PodControllerOptions;
  allocatable: Record<string, string> = { cpu: '8', memory: '16Gi', pods: '100' };
  #node: AsyncDisposable | undefined;
  #kube: Disposable | undefined;

  private constructor(api: FakeKubeApi, site: MemorySidecar, options: PodControllerOptions) {
    this.api = api;
    this.site = site;
    this.#options = options;
  }

  static async start(site: MemorySidecarOptions = {}, options: PodControllerOptions = {}): Promise<Bench> {
    const bench = new Bench(await FakeKubeApi.start(), new MemorySidecar(site), options);
    onTestFinished(() => bench[Symbol.asyncDispose]());
    await bench.startNode();
    return bench;
  }

  async startNode(): Promise<PodController> {
    const kube = createKubeClient({
      connection: this.api.connection(),
      clock: this.clock,
      logger: silentLogger,
      userAgent: 'test',
      rate: { perSecond: 10_000, burst: 10_000 },
    });
    const node: Node = { status: { allocatable: this.allocatable } };
    const controller = createPodController(
      {
        kube,
        sidecar: this.site,
        clock: this.clock,
        logger: silentLogger,
        events: { record: (event) => this.events.push(event) },
        nodeName: 'vk',
        nodeIP: '10.0.0.1',
        node: () => node,
      },
      this.#options,
    );
    const started = await running(controller);
    this.#node = started;
    this.#kube = kube;
    return controller;
  }

  async stopNode(): Promise<void> {
    await this.#node?.[Symbol.asyncDispose]();
    this.#kube?.[Symbol.dispose]();
    this.#node = undefined;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stopNode();
    await this.api[Symbol.asyncDispose]();
  }

  /** Binds a pod to the node, as a user and a scheduler would. */
  bind(name: string, spec: Record<string, unknown> = {}): string {
    const pod = this.api.put('v1/pods', {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name, namespace: 'ns', generation: 1 },
      spec: {
        nodeName: 'vk',
        restartPolicy: 'Never',
        enableServiceLinks: true,
        containers: [{ name: 'c', image: 'img' }],
        ...spec,
      },
      status: { phase: 'Pending', conditions: [{ type: 'PodScheduled', status: 'True' }] },
    });
    return pod.metadata.uid as string;
  }

  pod(name: string): Pod | undefined {
    return this.api.get('v1/pods', 'ns', name) as Pod | undefined;
  }

  status(name: string): PodStatusFields {
    return this.pod(name)?.status ?? {};
  }

  state(name: string): ContainerStatus['state'] {
    return this.status(name).containerStatuses?.[0]?.state;
  }

  /** Deletes as `kubectl delete` does. */
  async delete(name: string, grace?: number): Promise<void> {
    await fetch(`${this.api.url}/api/v1/namespaces/ns/pods/${name}`, {
      method: 'DELETE',
      body: JSON.stringify(grace === undefined ? {} : { gracePeriodSeconds: grace }),
    });
  }

  calls(name: string, uid?: string): number {
    return this.site.calls.filter((call) => call.name === name && (uid === undefined || call.uids.includes(uid)))
      .length;
  }

  /** The distinct values of something over all statuses that were ever written for a pod. */
  written(name: string): PodStatusFields[] {
    return this.api.requests
      .filter(({ method, path }) => method === 'PATCH' && path.endsWith(`/pods/${name}/status`))
      .map(({ body }) => (JSON.parse(body) as { status?: PodStatusFields }).status ?? {});
  }
}

async function until(what: string, condition: () => boolean, ms = 4_000): Promise<void> {
  const untilMs = performance.now() + ms;
  while (!condition()) {
    if (performance.now() > untilMs) throw new Error(`not within ${ms} ms: ${what}`);
    await delay(3);
  }
}

/** A watch that breaks after a moment. */
function failing(error: Error): AsyncGenerator<WatchEvent, void, void> {
  const next = async (): Promise<never> => {
    await delay(10);
    throw error;
  };
  return { next, [Symbol.asyncIterator]: () => ({ next }) } as unknown as AsyncGenerator<WatchEvent, void, void>;
}

const unavailable = (message = 'site is down'): InterlinkError => new InterlinkError('Unavailable', message);

describe('pod controller', () => {
  it('takes a pod to the site and shows its life as a kubelet would', async () => {
    const bench = await Bench.start();
    const uid = bench.bind('p');
    await until('created', () => bench.calls('create', uid) === 1 && bench.written('p').length > 0);
    expect(bench.written('p')[0]).toMatchObject({
      hostIP: '10.0.0.1',
      containerStatuses: [{ state: { waiting: { reason: 'ContainerCreating' } } }],
    });
    expect(bench.status('p').phase).toBe('Pending');
    bench.site.start(uid);
    await until('running', () => bench.status('p').phase === 'Running');
    bench.site.finish(uid, 3);
    await until('failed', () => bench.status('p').phase === 'Failed');
    expect(bench.state('p')?.terminated?.exitCode).toBe(3);
    expect(bench.pod('p')?.metadata?.annotations).toMatchObject({ JobID: '1' });
    const phases = bench.written('p').flatMap(({ phase }) => phase ?? []);
    expect(phases).toEqual(['Running', 'Failed']);
    const sandbox = bench
      .written('p')
      .flatMap(({ conditions = [] }) => conditions.filter(({ type }) => type === 'PodReadyToStartContainers'))
      .map(({ status }) => status);
    expect(sandbox).toEqual(['False', 'True', 'False']);
  });

  it('polls a site that cannot be watched, in one call for all pods, and leaves out no state', async () => {
    const bench = await Bench.start({ capabilities: [] });
    bench.site.watch = () => failing(new InterlinkError('Unsupported', 'no watch'));
    await bench.stopNode();
    await bench.startNode();
    const uids = ['a', 'b', 'd'].map((name) => bench.bind(name));
    await until('created', () => uids.every((uid) => bench.calls('create', uid) === 1));
    // Between two polls everything happens.
    for (const uid of uids) {
      bench.site.start(uid);
      bench.site.finish(uid);
    }
    await until('succeeded', () => ['a', 'b', 'd'].every((name) => bench.status(name).phase === 'Succeeded'));
    expect(bench.written('a').flatMap(({ phase }) => phase ?? [])).toEqual(['Running', 'Succeeded']);
    const polls = bench.site.calls.filter(({ name }) => name === 'status');
    expect(Math.max(...polls.map((call) => call.uids.length))).toBe(3);
  });

  it('hands over the image pull secrets that there are and warns of the others', async () => {
    const bench = await Bench.start();
    bench.api.put('v1/secrets', { metadata: { name: 'found', namespace: 'ns' }, data: { '.dockercfg': 'e30=' } });
    const uid = bench.bind('p', { imagePullSecrets: [{ name: 'found' }, { name: 'one' }, { name: 'two' }] });
    await until('create', () => bench.site.bundleOf(uid) !== undefined);
    expect(bench.site.bundleOf(uid)?.imagePullSecrets?.map(({ metadata }) => metadata?.name)).toEqual(['found']);
    await until('event', () => bench.events.some(({ reason }) => reason === 'FailedToRetrieveImagePullSecret'));
    expect(bench.events.find(({ reason }) => reason === 'FailedToRetrieveImagePullSecret')).toMatchObject({
      type: 'Warning',
      message: 'Unable to retrieve some image pull secrets (one, two); attempting to pull the image may not succeed.',
    });
  });

  it('waits for a missing Secret and goes on when it appears', async () => {
    const bench = await Bench.start();
    const uid = bench.bind('p', { volumes: [{ name: 'v', secret: { secretName: 's' } }] });
    await until('event', () => bench.events.some(({ reason }) => reason === 'FailedMount'));
    expect(bench.events[0]).toMatchObject({
      type: 'Warning',
      message: 'MountVolume.SetUp failed for volume "v" : secret "s" not found',
      involvedObject: { kind: 'Pod', namespace: 'ns', name: 'p', uid },
    });
    expect(bench.state('p')).toEqual({ waiting: { reason: 'ContainerCreating' } });
    expect(bench.calls('create')).toBe(0);
    bench.api.put('v1/secrets', { metadata: { name: 's', namespace: 'ns' }, data: { k: 'dg==' } });
    await until('created', () => bench.calls('create', uid) === 1);
    expect(bench.site.bundleOf(uid)?.secrets.map(({ metadata }) => metadata?.name)).toEqual(['s']);
  });

  it('shows a missing key of the environment at its container and goes on when it is there', async () => {
    const bench = await Bench.start();
    bench.api.put('v1/configmaps', { metadata: { name: 'm', namespace: 'ns' }, data: {} });
    const env = [{ name: 'A', valueFrom: { configMapKeyRef: { name: 'm', key: 'wanted' } } }];
    const uid = bench.bind('p', { containers: [{ name: 'c', image: 'i', env }] });
    await until('reason', () => bench.state('p')?.waiting?.reason === 'CreateContainerConfigError');
    expect(bench.state('p')?.waiting?.message).toBe("couldn't find key wanted in ConfigMap ns/m");
    expect(bench.events[0]).toMatchObject({
      reason: 'Failed',
      message: "Error: couldn't find key wanted in ConfigMap ns/m",
      involvedObject: { fieldPath: 'spec.containers{c}' },
    });
    bench.api.put('v1/configmaps', { metadata: { name: 'm', namespace: 'ns' }, data: { wanted: 'now' } });
    await until('created', () => bench.calls('create', uid) === 1);
    expect(bench.site.bundleOf(uid)?.pod.spec?.containers[0]?.env).toEqual([{ name: 'A', value: 'now' }]);
  });

  it('rejects a pod that was bound past the scheduler and does not fit', async () => {
    const bench = await Bench.start();
    bench.bind('big', { containers: [{ name: 'c', resources: { requests: { cpu: '100000' } } }] });
    await until('failed', () => bench.status('big').phase === 'Failed');
    const message = "Node didn't have enough resource: cpu, requested: 100000000, used: 0, capacity: 8000";
    expect(bench.status('big')).toMatchObject({
      reason: 'OutOfcpu',
      message: `Pod was rejected: ${message}`,
      conditions: [],
    });
    expect(bench.status('big').containerStatuses).toBeUndefined();
    expect(bench.events).toMatchObject([{ type: 'Warning', reason: 'OutOfcpu', message }]);
    expect(bench.calls('create')).toBe(0);
  });

  describe('when a create fails', () => {
    it('keeps the pod pending over any number of transient errors, whatever its restart policy', async () => {
      const bench = await Bench.start();
      // Fault: the site refuses connections, three times.
      bench.site.fail('create', unavailable(), 3);
      const uid = bench.bind('p');
      await until('reason shown', () => bench.state('p')?.waiting?.message === 'site is down');
      expect(bench.status('p').phase).toBe('Pending');
      await until('created', () => bench.site.live.includes(uid));
      expect(bench.events[0]).toMatchObject({ reason: 'FailedCreatePodSandBox' });
      bench.site.start(uid);
      await until('running', () => bench.status('p').phase === 'Running');
    });

    it('fails a pod for good that can never run there', async () => {
      const bench = await Bench.start();
      // Fault: the site says that the pod is not acceptable.
      bench.site.fail('create', new InterlinkError('Invalid', 'spec.volumes[0]: hostPath is not supported here'));
      bench.bind('p');
      await until('failed', () => bench.status('p').phase === 'Failed');
      expect(bench.status('p')).toMatchObject({
        reason: 'UnexpectedAdmissionError',
        message: 'spec.volumes[0]: hostPath is not supported here',
      });
      expect(bench.state('p')?.waiting).toBeDefined();
      await delay(60);
      expect(bench.calls('create')).toBe(1);
    });

    it('does not make a second job of an answer that was lost', async () => {
      const bench = await Bench.start();
      const create = bench.site.create.bind(bench.site);
      let lost = 0;
      // Fault: the site takes the pod, but its answer never arrives.
      bench.site.create = async (bundle, options) => {
        const result = await create(bundle, options);
        if (lost++ === 0) throw new InterlinkError('DeadlineExceeded', 'no answer');
        return result;
      };
      const uid = bench.bind('p');
      await until('seen', () => bench.pod('p')?.metadata?.annotations?.JobID === '1');
      bench.site.start(uid);
      await until('running', () => bench.status('p').phase === 'Running');
      expect(bench.site.live).toEqual([uid]);
    });

    it('takes up a pod that the site knows with another content', async () => {
      const bench = await Bench.start();
      await bench.stopNode();
      const uid = bench.bind('p');
      // Fault: an earlier process sent the pod, with another token, and died before it wrote anything down.
      const signal = new AbortController().signal;
      await bench.site.create(
        { pod: { ...(bench.pod('p') as Pod), kind: 'Pod' }, configMaps: [], secrets: [], projectedVolumes: [] },
        { signal },
      );
      bench.site.watch = () => failing(unavailable());
      await bench.startNode();
      await until('known', () => bench.pod('p')?.metadata?.annotations?.JobID === '1');
      expect(bench.status('p').phase).toBe('Pending');
      expect(bench.site.live).toEqual([uid]);
    });

    it('gives up a pod that the site denies and refuses', async () => {
      const bench = await Bench.start();
      // Fault: the site has had the pod deleted.
      bench.site.fail('create', new InterlinkError('Conflict', 'pod was deleted'), 100);
      bench.bind('p');
      await until('failed', () => bench.status('p').phase === 'Failed');
      expect(bench.status('p')).toMatchObject({ reason: 'UnexpectedAdmissionError', message: 'pod was deleted' });
    });

    it('hands over at most so many pods at once, all of them in the end', async () => {
      const bench = await Bench.start({}, { createConcurrency: 3 });
      let now = 0;
      let most = 0;
      const create = bench.site.create.bind(bench.site);
      bench.site.create = async (bundle, options) => {
        most = Math.max(most, ++now);
        await delay(5);
        now -= 1;
        return create(bundle, options);
      };
      const uids = Array.from({ length: 20 }, (_, index) => bench.bind(`p${index}`));
      await until('all there', () => uids.every((uid) => bench.site.live.includes(uid)));
      expect(most).toBe(3);
    });
  });

  describe('when a pod is deleted', () => {
    it('ends it at the site, shows its end and then lets it go', async () => {
      const bench = await Bench.start();
      const uid = bench.bind('p');
      await until('created', () => bench.site.live.includes(uid));
      bench.site.start(uid);
      await until('running', () => bench.status('p').phase === 'Running');
      await bench.delete('p');
      await until('gone', () => bench.pod('p') === undefined);
      expect(bench.site.live).toEqual([]);
      expect(bench.written('p').at(-1)).toMatchObject({ phase: 'Failed' });
      const last = bench.api.requests.findLast(({ method }) => method === 'DELETE');
      expect(JSON.parse(last?.body ?? '')).toMatchObject({ gracePeriodSeconds: 0, preconditions: { uid } });
    });

    it('lets a pod go that never left the node', async () => {
      const bench = await Bench.start();
      bench.bind('p', { volumes: [{ name: 'v', secret: { secretName: 'none' } }] });
      await until('event', () => bench.events.length > 0);
      await bench.delete('p');
      await until('gone', () => bench.pod('p') === undefined);
      const end = bench.written('p').at(-1);
      expect(end).toMatchObject({
        phase: 'Failed',
        containerStatuses: [{ state: { terminated: { exitCode: 137, reason: 'ContainerStatusUnknown' } } }],
      });
      expect(bench.calls('delete')).toBe(0);
    });

    it('keeps the object as long as the site is out of reach, and ends the pod after that', async () => {
      const bench = await Bench.start();
      const uid = bench.bind('p');
      await until('created', () => bench.site.live.includes(uid));
      // Fault: the site does not take the deletion, four times.
      bench.site.fail('delete', unavailable(), 4);
      await bench.delete('p');
      await until('asked', () => bench.calls('delete') >= 2);
      expect(bench.pod('p')).toBeDefined();
      await until('gone', () => bench.pod('p') === undefined);
      expect(bench.calls('delete')).toBe(5);
      expect(bench.site.live).toEqual([]);
    });

    it('ends it as soon as the site is back, however long the pause between two attempts has become', async () => {
      const bench = await Bench.start();
      const uid = bench.bind('p');
      await until('created', () => bench.site.live.includes(uid));
      let longPauses = 0;
      const sleep = bench.clock.sleep.bind(bench.clock);
      // The fifth pause between two attempts, of 13 to 16 s, does not end by itself here.
      bench.clock.sleep = (ms, options) => {
        const isLong = ms >= 12_000 && ms <= 16_000;
        if (isLong) longPauses += 1;
        return sleep(isLong ? 3_600_000 : ms, options);
      };
      // Fault: the site is out of reach for deletions and watches.
      bench.site.fail('delete', unavailable(), 5);
      await bench.delete('p');
      await until('a long pause', () => longPauses === 1);
      expect(bench.calls('delete')).toBe(5);
      bench.site.fail('watch', unavailable(), 2);
      bench.site.breakWatches(unavailable());
      await until('gone', () => bench.pod('p') === undefined);
      expect(bench.site.live).toEqual([]);
    });

    it('tells the site again when the grace period has become shorter', async () => {
      const bench = await Bench.start();
      const uid = bench.bind('p');
      await until('created', () => bench.site.live.includes(uid));
      bench.site.start(uid);
      const graces: unknown[] = [];
      bench.site.delete = async (pod) => void graces.push(pod.metadata?.deletionGracePeriodSeconds);
      await bench.delete('p', 14);
      await until('asked', () => graces.length === 1);
      await bench.delete('p', 1);
      await until('asked again', () => graces.length === 2);
      expect(graces).toEqual([14, 1]);
    });

    it('lets it go after the grace period and a margin if the site has promised the end but never tells it', async () => {
      const bench = await Bench.start({}, { stopMarginMs: 5_000 });
      const uid = bench.bind('p');
      await until('created', () => bench.site.live.includes(uid));
      bench.site.start(uid);
      // Fault: the site acknowledges and goes silent.
      bench.site.delete = async () => {};
      await bench.delete('p', 3);
      await delay(40);
      expect(bench.pod('p')).toBeDefined();
      await until('gone', () => bench.pod('p') === undefined);
    });

    it('stops handing it over and leaves no job when it is deleted during its creation', async () => {
      const bench = await Bench.start();
      const create = bench.site.create.bind(bench.site);
      // Fault: the site takes the pod while the caller has gone away.
      bench.site.create = async (bundle, options) => {
        await delay(30);
        return create(bundle, { signal: new AbortController().signal }).finally(() => options.signal.throwIfAborted());
      };
      const names = Array.from({ length: 8 }, (_, index) => `p${index}`);
      const uids = names.map((name) => bench.bind(name));
      await until('under way', () => names.every((name) => bench.status(name).startTime !== undefined));
      await Promise.all(names.map((name, index) => bench.delete(name, index % 2 === 0 ? 0 : undefined)));
      await until('all gone', () => names.every((name) => bench.pod(name) === undefined));
      await until(
        'no job left',
        () => bench.site.live.length === 0 && uids.every((uid) => bench.calls('delete', uid) > 0),
      );
    });

    it('ends a pod at the site that was removed by force', async () => {
      const bench = await Bench.start();
      const uid = bench.bind('p');
      await until('created', () => bench.site.live.includes(uid));
      const graces: unknown[] = [];
      const remove = bench.site.delete.bind(bench.site);
      bench.site.delete = async (pod, options) => {
        graces.push(pod.metadata?.deletionGracePeriodSeconds);
        await remove(pod, options);
      };
      // Fault: the first attempt does not get through.
      bench.site.fail('delete', unavailable());
      await bench.delete('p', 0);
      await until('ended', () => bench.site.live.length === 0);
      expect(graces).toEqual([0, 0]);
    });

    it('tells the site about a finished pod whose object goes, so that it can forget it', async () => {
      const bench = await Bench.start();
      const uid = bench.bind('p');
      await until('created', () => bench.site.live.includes(uid));
      bench.site.start(uid);
      bench.site.finish(uid);
      await until('succeeded', () => bench.status('p').phase === 'Succeeded');
      await bench.delete('p', 0);
      await until('told', () => bench.calls('delete', uid) === 1);
      await delay(80);
      expect(bench.calls('delete', uid)).toBe(1);
    });

    it('takes a pod that is made anew under the same name for another one', async () => {
      const bench = await Bench.start();
      const first = bench.bind('p');
      await until('created', () => bench.site.live.includes(first));
      bench.site.start(first);
      bench.api.remove('v1/pods', 'ns', 'p');
      const second = bench.bind('p');
      expect(second).not.toBe(first);
      await until('second there, first ended', () => bench.site.live.join() === second);
      bench.site.start(second);
      await until('running', () => bench.status('p').phase === 'Running');
    });
  });

  describe('over restarts and gaps', () => {
    it('takes up everything as it is, without writing or creating anything', async () => {
      const bench = await Bench.start();
      const names = ['pending', 'runs', 'done'];
      const [, runs, done] = names.map((name) => bench.bind(name)) as [string, string, string];
      await until('created', () => bench.site.live.length === 3);
      for (const uid of [runs, done]) bench.site.start(uid);
      bench.site.finish(done);
      await until(
        'shown',
        () => bench.status('runs').phase === 'Running' && bench.status('done').phase === 'Succeeded',
      );
      await until('annotated', () =>
        names.every((name) => bench.pod(name)?.metadata?.annotations?.JobID !== undefined),
      );
      await bench.stopNode();
      const requests = bench.api.requests.length;
      const creates = bench.calls('create');
      await bench.startNode();
      await delay(80);
      expect(bench.calls('create')).toBe(creates);
      expect(bench.api.requests.slice(requests).filter(({ method }) => method !== 'GET')).toEqual([]);
      expect(bench.site.live).toHaveLength(2);
    });

    it('shows what happened while it was away', async () => {
      const bench = await Bench.start();
      const uid = bench.bind('p');
      await until('created', () => bench.site.live.includes(uid));
      await bench.stopNode();
      bench.site.start(uid);
      bench.site.finish(uid, 5);
      await bench.startNode();
      await until('failed', () => bench.status('p').phase === 'Failed');
      expect(bench.state('p')?.terminated?.exitCode).toBe(5);
    });

    it.each(['graceful', 'forced'])('ends a pod that was deleted (%s) while it was away', async (how) => {
      const bench = await Bench.start();
      const uid = bench.bind('p');
      await until('created', () => bench.site.live.includes(uid));
      bench.site.start(uid);
      await until('running', () => bench.status('p').phase === 'Running');
      await bench.stopNode();
      await bench.delete('p', how === 'forced' ? 0 : undefined);
      expect(bench.site.live).toEqual([uid]);
      await bench.startNode();
      await until('ended', () => bench.site.live.length === 0);
      await until('gone', () => bench.pod('p') === undefined);
    });

    it('leaves pods of others at the site alone', async () => {
      const bench = await Bench.start();
      const signal = new AbortController().signal;
      for (const [uid, nodeName] of [
        ['u-other', 'other-node'],
        ['u-run', undefined],
        ['u-ours', 'vk'],
      ] as const) {
        const spec = { ...(nodeName ? { nodeName } : {}), containers: [{ name: 'c' }] };
        const pod = { metadata: { namespace: 'ns', name: uid, uid }, spec } as Pod;
        await bench.site.create({ pod, configMaps: [], secrets: [], projectedVolumes: [] }, { signal });
      }
      await until('ours ended', () => !bench.site.live.includes('u-ours'));
      expect(bench.site.live).toEqual(['u-other', 'u-run']);
      expect(bench.calls('delete')).toBe(1);
    });

    it('takes nothing for left over that the API server still has', async () => {
      const bench = await Bench.start();
      const uid = bench.bind('p');
      await until('created', () => bench.site.live.includes(uid));
      // Fault: the watch brings the deletion of a pod that is there.
      bench.api.sendToWatches(
        `${JSON.stringify({ type: 'DELETED', object: { ...bench.pod('p'), metadata: { ...bench.pod('p')?.metadata, uid: 'u-else' } } })}\n`,
      );
      await delay(80);
      expect(bench.site.live).toEqual([uid]);
    });

    it('goes on after the watch of the site has broken, with what was missed', async () => {
      const bench = await Bench.start();
      const watch = bench.site.watch.bind(bench.site);
      let cut: AbortController | undefined;
      bench.site.watch = (options) => {
        cut = new AbortController();
        return watch({ signal: AbortSignal.any([options.signal, cut.signal]) });
      };
      await bench.stopNode();
      await bench.startNode();
      const uid = bench.bind('p');
      await until('created', () => bench.site.live.includes(uid));
      // Fault: the connection breaks, and everything happens before the next one.
      bench.site.fail('watch', unavailable());
      cut?.abort(unavailable('reset'));
      await delay(2);
      bench.site.start(uid);
      bench.site.finish(uid);
      await until('succeeded', () => bench.status('p').phase === 'Succeeded');
      expect(bench.written('p').flatMap(({ phase }) => phase ?? [])).toEqual(['Running', 'Succeeded']);
    });

    it('gives up a pod that the site has lost, only after a long time, and never creates it again', async () => {
      const bench = await Bench.start({}, { lostAfterMs: 20_000 });
      const uid = bench.bind('p');
      await until('created', () => bench.site.live.includes(uid));
      bench.site.start(uid);
      await until('running', () => bench.status('p').phase === 'Running');
      const lostAtMs = bench.clock.monotonicMs();
      // Fault: the site has lost its records.
      bench.site.forget(uid);
      await until('failed', () => bench.status('p').phase === 'Failed');
      expect(bench.clock.monotonicMs() - lostAtMs).toBeGreaterThanOrEqual(20_000);
      expect(bench.status('p').reason).toBe('NodeLost');
      expect(bench.status('p').message).toContain('(job 1)');
      expect(bench.calls('create')).toBe(1);
    });

    it('does not create a pod again that was at the site before a restart', async () => {
      const bench = await Bench.start({}, { lostAfterMs: 10_000 });
      const uid = bench.bind('p');
      await until('annotated', () => bench.pod('p')?.metadata?.annotations?.JobID !== undefined);
      await bench.stopNode();
      bench.site.forget(uid);
      await bench.startNode();
      await until('failed', () => bench.status('p').phase === 'Failed');
      expect(bench.calls('create')).toBe(1);
    });

    it('stops at the site what somebody else has ended in the API', async () => {
      const bench = await Bench.start();
      const uid = bench.bind('p');
      await until('created', () => bench.site.live.includes(uid));
      bench.site.start(uid);
      await until('running', () => bench.status('p').phase === 'Running');
      const pod = bench.api.get('v1/pods', 'ns', 'p') as FakeObject;
      bench.api.put('v1/pods', { ...pod, status: { ...(pod.status as object), phase: 'Failed', reason: 'Evicted' } });
      await until('ended', () => bench.site.live.length === 0);
      expect(bench.status('p')).toMatchObject({ phase: 'Failed', reason: 'Evicted' });
    });
  });

  describe('when the API server misbehaves', () => {
    const isStatus = ({ method, path }: { method: string; path: string }): boolean =>
      method === 'PATCH' && path.endsWith('/status');

    it.each([500, 409, 403])('writes the status in the end although it answers %s', async (status) => {
      const bench = await Bench.start();
      const uid = bench.bind('p');
      await until('created', () => bench.site.live.includes(uid));
      bench.api.fail(isStatus, { kind: 'status', status }, 3);
      bench.site.start(uid);
      await until('running', () => bench.status('p').phase === 'Running');
      bench.api.fail(isStatus, { kind: 'reset' }, 2);
      bench.site.finish(uid);
      await until('succeeded', () => bench.status('p').phase === 'Succeeded');
    });

    it('does not insist on a status that is refused, and lets the pod go when it is deleted', async () => {
      const bench = await Bench.start();
      const uid = bench.bind('p');
      await until('created', () => bench.site.live.includes(uid));
      // Fault: the server finds every status invalid.
      bench.api.fail(isStatus, { kind: 'status', status: 422 }, 1_000);
      bench.site.start(uid);
      await bench.delete('p');
      await until('gone', () => bench.pod('p') === undefined);
      expect(bench.api.requests.filter(isStatus).length).toBeLessThan(20);
    });

    it('deletes the object although the deletion fails at first', async () => {
      const bench = await Bench.start();
      bench.bind('p', { volumes: [{ name: 'v', secret: { secretName: 'none' } }] });
      await until('event', () => bench.events.length > 0);
      bench.api.fail(
        ({ method, body }) => method === 'DELETE' && body.includes('preconditions'),
        { kind: 'status', status: 500 },
        2,
      );
      await bench.delete('p');
      await until('gone', () => bench.pod('p') === undefined);
    });

    it('corrects what others have written over its part, and leaves theirs', async () => {
      const bench = await Bench.start();
      const uid = bench.bind('p');
      await until('created', () => bench.site.live.includes(uid));
      bench.site.start(uid);
      await until('running', () => bench.status('p').phase === 'Running');
      await delay(30);
      const pod = bench.api.get('v1/pods', 'ns', 'p') as FakeObject;
      const conditions = (pod.status as PodStatusFields).conditions?.map((condition) =>
        condition.type === 'Ready' ? { ...condition, status: 'False' } : condition,
      );
      const foreign = { type: 'example.org/gate', status: 'True' };
      bench.api.put('v1/pods', {
        ...pod,
        status: { ...(pod.status as object), conditions: [...(conditions ?? []), foreign] },
      });
      await until(
        'ready again',
        () => bench.status('p').conditions?.some(({ type, status }) => type === 'Ready' && status === 'True') === true,
      );
      expect(bench.status('p').conditions).toContainEqual(foreign);
    });
  });

  it('records the events of the site once', async () => {
    const bench = await Bench.start();
    const status = bench.site.status.bind(bench.site);
    const uid = bench.bind('p');
    await until('created', () => bench.site.live.includes(uid));
    const event = {
      type: 'Normal',
      reason: 'Started',
      message: 'Container started',
      fieldPath: 'spec.containers{c}',
    } as const;
    const time = new Date(bench.clock.nowMs() + 5_000).toISOString();
    const [known] = await status([bench.pod('p') as Pod], { signal: new AbortController().signal });
    const watch = bench.site.watch.bind(bench.site);
    bench.site.watch = async function* (options) {
      const item = { ...known, events: [{ ...event, id: '1', time }] } as never;
      yield { type: 'STATUS', item };
      yield { type: 'STATUS', item: { ...(item as object), podIP: '10.9.9.9' } as never };
      yield* watch(options);
    };
    await bench.stopNode();
    await bench.startNode();
    await until('recorded', () => bench.events.some(({ reason }) => reason === 'Started'));
    await delay(30);
    expect(bench.events.filter(({ reason }) => reason === 'Started')).toHaveLength(1);
    expect(bench.events.at(-1)).toMatchObject({ involvedObject: { fieldPath: 'spec.containers{c}', uid } });
  });

  it('gives the pods of the node to the kubelet API', async () => {
    const bench = await Bench.start();
    await bench.stopNode();
    bench.bind('p');
    const controller = await bench.startNode();
    expect(controller.pods().map(({ metadata }) => metadata?.name)).toEqual(['p']);
    expect(controller.findPod('ns', 'p')?.metadata?.name).toBe('p');
    expect(controller.findPod('ns', 'q')).toBeUndefined();
  });
});
