import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, it, onTestFinished } from 'vitest';
import { InterlinkError } from '../../../src/base/errors.ts';
import type { VolumeUpdate } from '../../../src/contract/volume-update.ts';
import { createKubeClient } from '../../../src/kube/client.ts';
import type { EventToRecord } from '../../../src/kube/event-recorder.ts';
import { createPodController } from '../../../src/node/pod-controller.ts';
import { FakeKubeApi, type FakeObject } from '../../fakes/fake-kube-api.ts';
import { FastClock } from '../../fakes/fast-clock.ts';
import { MemorySidecar, type MemorySidecarOptions } from '../../fakes/memory-sidecar.ts';
import { RecordingLogger } from '../../fakes/recording-logger.ts';
import { running } from '../../fakes/running.ts';

/** An API server, a site, and a node between them. Seconds of the node are 10 ms here. */
class Bench implements AsyncDisposable {
  readonly clock = new FastClock(100);
  readonly events: EventToRecord[] = [];
  readonly logger = new RecordingLogger();
  readonly site: MemorySidecar;
  readonly api: FakeKubeApi;
  #node = new AsyncDisposableStack();

  private constructor(api: FakeKubeApi, site: MemorySidecar) {
    this.api = api;
    this.site = site;
  }

  static async start(site: MemorySidecarOptions = {}): Promise<Bench> {
    const bench = new Bench(await FakeKubeApi.start(), new MemorySidecar(site));
    onTestFinished(() => bench[Symbol.asyncDispose]());
    await bench.startNode();
    return bench;
  }

  async startNode(): Promise<void> {
    const { api, clock, logger, events, site: sidecar } = this;
    const node = this.#node;
    const rate = { perSecond: 10_000, burst: 10_000 };
    const connection = api.connection();
    const kube = node.use(createKubeClient({ connection, clock, logger, userAgent: 'test', rate }));
    const deps = {
      kube,
      sidecar,
      clock,
      logger,
      events: { record: (event: EventToRecord) => void events.push(event) },
      nodeName: 'vk',
      nodeIP: '10.0.0.1',
      node: () => ({ status: { allocatable: { cpu: '8', memory: '16Gi', pods: '100' } } }),
    };
    node.use(await running(createPodController(deps)));
  }

  async stopNode(): Promise<void> {
    await this.#node.disposeAsync();
    this.#node = new AsyncDisposableStack();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stopNode();
    await this.api[Symbol.asyncDispose]();
  }

  config(name: string, value: string, more: object = {}): void {
    this.api.put('v1/configmaps', { metadata: { name, namespace: 'ns' }, data: { k: value }, ...more });
  }

  secret(name: string, value: string): void {
    this.api.put('v1/secrets', { metadata: { name, namespace: 'ns' }, data: { k: btoa(value) } });
  }

  /** Binds a pod with these volumes to the node and starts it at the site. */
  async run(volumes: readonly object[], metadata: object = {}, spec: object = {}): Promise<string> {
    const pod = this.api.put('v1/pods', {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: 'p', namespace: 'ns', generation: 1, ...metadata },
      spec: { nodeName: 'vk', restartPolicy: 'Never', containers: [{ name: 'c', image: 'img' }], volumes, ...spec },
      status: { phase: 'Pending' },
    });
    const uid = pod.metadata.uid as string;
    await until('the site has the pod', () => this.site.live.includes(uid));
    this.site.start(uid);
    return uid;
  }

  /** Changes the pod as another client would. */
  change(metadata: object): void {
    const pod = this.api.get('v1/pods', 'ns', 'p') as FakeObject;
    this.api.put('v1/pods', { ...pod, metadata: { ...pod.metadata, ...metadata } });
  }

  /** The update with this number, counted from 0, once it is there. */
  async update(number: number): Promise<VolumeUpdate> {
    await until(`update ${number}`, () => this.site.updates.length > number);
    return this.site.updates[number] as VolumeUpdate;
  }

  tokens(): number {
    return this.api.requests.filter(({ path }) => path.endsWith('/token')).length;
  }

  /** Lets a few seconds of the node go by, in which whatever would come has come. */
  async settle(): Promise<void> {
    await delay(80);
  }
}

async function until(what: string, condition: () => boolean, ms = 4_000): Promise<void> {
  const untilMs = performance.now() + ms;
  while (!condition()) {
    if (performance.now() > untilMs) throw new Error(`not within ${ms} ms: ${what}`);
    await delay(3);
  }
}

const map = { name: 'cm', configMap: { name: 'm' } };
const labels = { path: 'labels', fieldRef: { fieldPath: 'metadata.labels' } };
const token = (expirationSeconds: number) => ({
  name: 'tok',
  projected: { sources: [{ serviceAccountToken: { path: 'token', expirationSeconds } }, { configMap: { name: 'm' } }] },
});

describe('volumes of a live pod', () => {
  it('get the new content of a ConfigMap, and nothing is sent that looks the same', async () => {
    const bench = await Bench.start();
    bench.config('m', 'old');
    bench.secret('s', 'old');
    const uid = await bench.run([map, { name: 'sec', secret: { secretName: 's' } }, { name: 'e', emptyDir: {} }]);
    await bench.settle();
    expect(bench.site.updates).toEqual([]);
    bench.config('m', 'new');
    expect(await bench.update(0)).toMatchObject({
      pod: { namespace: 'ns', name: 'p', uid },
      volumes: ['cm'],
      configMaps: [{ metadata: { name: 'm' }, data: { k: 'new' } }],
      secrets: [],
      projectedVolumes: [],
    });
    bench.config('m', 'new', { metadata: { name: 'm', namespace: 'ns', labels: { other: 'label' } } });
    await bench.settle();
    bench.secret('s', 'new');
    expect(await bench.update(1)).toMatchObject({ volumes: ['sec'], configMaps: [] });
    expect(bench.site.updates).toHaveLength(2);
  });

  it('and its image pull secrets are sent when they change, appear and disappear', async () => {
    const bench = await Bench.start();
    bench.secret('login', 'old');
    await bench.run([], {}, { imagePullSecrets: [{ name: 'login' }, { name: 'later' }] });
    await bench.settle();
    expect(bench.site.updates).toEqual([]);
    const names = ({ imagePullSecrets }: VolumeUpdate) => imagePullSecrets?.map(({ metadata }) => metadata?.name);
    bench.secret('later', 'x');
    const first = await bench.update(0);
    expect([first.volumes, names(first)]).toEqual([[], ['login', 'later']]);
    bench.secret('login', 'new');
    expect((await bench.update(1)).imagePullSecrets?.[0]?.data).toEqual({ k: btoa('new') });
    bench.api.remove('v1/secrets', 'ns', 'later');
    expect(names(await bench.update(2))).toEqual(['login']);
    await bench.settle();
    expect(bench.site.updates).toHaveLength(3);
  });

  it('get a burst of changes in few updates, the last of them at the end', async () => {
    const bench = await Bench.start();
    bench.config('m', 'old');
    const uid = await bench.run([map]);
    for (let i = 0; i < 50; i += 1) bench.config('m', `v${i}`);
    await until('the last', () => bench.site.bundleOf(uid)?.configMaps[0]?.data?.k === 'v49');
    expect(bench.site.updates.length).toBeLessThan(10);
  });

  it('get changed annotations and labels where they show them (Tekton waits for that), and only there', async () => {
    const bench = await Bench.start();
    bench.config('m', 'old');
    const annotations = { path: 'ready', fieldRef: { fieldPath: "metadata.annotations['tekton.dev/ready']" } };
    await bench.run([map, { name: 'down', downwardAPI: { items: [annotations, labels] } }], { labels: { a: 'b' } });
    await bench.settle();
    // The annotation JobID, which is no part of the files, has been written by now.
    expect(bench.site.updates).toEqual([]);
    bench.change({ annotations: { 'tekton.dev/ready': 'READY' } });
    expect(await bench.update(0)).toMatchObject({
      volumes: ['down'],
      configMaps: [],
      projectedVolumes: [{ metadata: { name: 'down' }, data: { ready: 'READY', labels: 'a="b"' } }],
    });
  });

  it('get the id of the job where they ask for it by name, while the file of all annotations stays as the user knows it', async () => {
    const bench = await Bench.start();
    const items = ['metadata.annotations', "metadata.annotations['JobID']"].map((fieldPath, index) => ({
      path: index === 0 ? 'all' : 'job',
      fieldRef: { fieldPath },
    }));
    await bench.run([{ name: 'down', downwardAPI: { items } }]);
    // The change shows first in the answer to the node's own write; its watch then tells nothing new.
    const { projectedVolumes } = await bench.update(0);
    expect(projectedVolumes[0]?.data?.job).toBe('1');
    expect(projectedVolumes[0]?.data?.all).not.toContain('JobID');
  });

  it('get renewed tokens with the rest of their volume', async () => {
    const bench = await Bench.start();
    bench.config('m', 'old');
    // 24 s after it was asked for, up to 10 s earlier.
    await bench.run([token(30)]);
    const first = bench.tokens();
    const { projectedVolumes } = await bench.update(0);
    expect(projectedVolumes).toMatchObject([{ metadata: { name: 'tok' }, data: { k: 'old' } }]);
    expect(projectedVolumes[0]?.data?.token).toMatch(/^token [2-9] of default$/);
    expect(first).toBe(1);
    await bench.update(1);
  });

  it('get an optional object that appears and lose one that goes', async () => {
    const bench = await Bench.start();
    const uid = await bench.run([{ name: 'cm', configMap: { name: 'm', optional: true } }]);
    bench.config('m', 'here');
    expect(await bench.update(0)).toMatchObject({ volumes: ['cm'], configMaps: [{ data: { k: 'here' } }] });
    bench.api.remove('v1/configmaps', 'ns', 'm');
    expect(await bench.update(1)).toMatchObject({ volumes: ['cm'], configMaps: [] });
    expect(bench.site.bundleOf(uid)?.configMaps).toEqual([]);
  });

  it('keep their content when a needed object goes, with one event; the others go on', async () => {
    const bench = await Bench.start();
    bench.config('m', 'old');
    bench.config('n', 'old');
    await bench.run([map, { name: 'other', configMap: { name: 'n' } }]);
    bench.api.remove('v1/configmaps', 'ns', 'm');
    const faults = () => bench.events.filter(({ reason }) => reason === 'FailedMount');
    await until('the event', () => faults().length > 0);
    bench.config('n', 'new');
    expect(await bench.update(0)).toMatchObject({ volumes: ['other'] });
    bench.config('n', 'newer');
    await bench.update(1);
    expect(faults()).toMatchObject([
      { type: 'Warning', message: 'MountVolume.SetUp failed for volume "cm" : configmap "m" not found' },
    ]);
    bench.config('m', 'back');
    expect(await bench.update(2)).toMatchObject({ volumes: ['cm'] });
  });

  it('are sent again until the site has taken them (fault: site away)', async () => {
    const bench = await Bench.start();
    bench.config('m', 'old');
    const uid = await bench.run([map]);
    bench.site.fail('updateVolumes', new InterlinkError('Unavailable', 'away'), 3);
    bench.config('m', 'new');
    await until('it arrives', () => bench.site.bundleOf(uid)?.configMaps[0]?.data?.k === 'new');
    const warnings = bench.logger.lines.filter(({ level }) => level === 'warn');
    expect(warnings.map(({ message }) => message)).toEqual(['volumes of the pod not updated, will retry']);
  });

  it('keep their content when the site refuses the new one, with one event that says why', async () => {
    const bench = await Bench.start();
    bench.config('m', 'old');
    const uid = await bench.run([map]);
    bench.site.fail('updateVolumes', new InterlinkError('Invalid', 'ConfigMap m is too large for this site'), 3);
    bench.config('m', 'new');
    await until('the next one arrives', () => bench.site.bundleOf(uid)?.configMaps[0]?.data?.k === 'new');
    expect(bench.events.filter(({ reason }) => reason === 'FailedMount').map(({ message }) => message)).toEqual([
      'volumes keep their content: ConfigMap m is too large for this site',
    ]);
  });

  it('are sent whole once after a restart of the node, as nobody knows what the site has', async () => {
    const bench = await Bench.start();
    bench.config('m', 'old');
    const uid = await bench.run([map, token(3600)]);
    await until('it is acknowledged', () => {
      const pod = bench.api.get('v1/pods', 'ns', 'p') as { status?: { startTime?: string } } | undefined;
      return pod?.status?.startTime !== undefined;
    });
    await bench.stopNode();
    bench.config('m', 'new');
    await bench.startNode();
    expect(await bench.update(0)).toMatchObject({ volumes: ['cm', 'tok'], configMaps: [{ data: { k: 'new' } }] });
    expect(bench.site.bundleOf(uid)?.projectedVolumes[0]?.data?.token).toBe('token 2 of default');
    await bench.settle();
    expect(bench.site.updates).toHaveLength(1);
  });

  it('are no longer followed when the pod has ended, and objects of the environment not once it runs', async () => {
    const bench = await Bench.start();
    bench.config('m', 'old');
    bench.config('env', 'old');
    const watches = (name: string): number =>
      bench.api.openWatchesOf(({ query }) => query.get('fieldSelector') === `metadata.name=${name}`);
    const pod = bench.api.put('v1/pods', {
      metadata: { name: 'p', namespace: 'ns' },
      spec: {
        nodeName: 'vk',
        containers: [{ name: 'c', image: 'img', envFrom: [{ configMapRef: { name: 'env' } }] }],
        volumes: [map],
      },
      status: { phase: 'Pending' },
    });
    const uid = pod.metadata.uid as string;
    await until('the site has the pod', () => bench.site.live.includes(uid));
    await until('the environment is given up', () => watches('env') === 0);
    await until('the volume is followed', () => watches('m') === 1);
    bench.site.start(uid);
    bench.site.finish(uid);
    await until('nothing is followed', () => watches('m') === 0);
    bench.config('m', 'new');
    await bench.settle();
    expect(bench.site.updates).toEqual([]);
  });

  it('stay as they are at a site that does not take updates, which is said once; nothing is followed for it', async () => {
    const bench = await Bench.start({ capabilities: ['watch'] });
    bench.config('m', 'old');
    await bench.run([map, { name: 'down', downwardAPI: { items: [labels] } }]);
    for (const value of ['1', '2', '3']) {
      bench.change({ labels: { value } });
      bench.config('m', value);
      await bench.settle();
    }
    expect(bench.site.calls.filter(({ name }) => name === 'updateVolumes')).toEqual([]);
    const said = bench.logger.lines.filter(({ message }) =>
      message.startsWith('site takes no new contents of volumes'),
    );
    expect(said).toHaveLength(1);
    expect(bench.api.openWatchesOf(({ query }) => query.has('fieldSelector', 'metadata.name=m'))).toBe(0);
  });
});
