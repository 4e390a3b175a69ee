import { describe, expect, it } from 'vitest';
import { InterlinkError } from '../../../src/base/errors.ts';
import { bundleFaultsOf } from '../../../src/contract/bundle-fault.ts';
import { collectBundle } from '../../../src/contract/collect-bundle.ts';
import { collectVolumes } from '../../../src/contract/collect-volumes.ts';
import type { ObjectSource, TokenAsk } from '../../../src/contract/object-source.ts';
import { missingPullSecrets } from '../../../src/contract/pull-secrets.ts';
import type { ConfigMap, Pod, Secret, Volume } from '../../../src/kube/types.ts';

const signal = new AbortController().signal;
const facts = { hostIPs: ['10.0.0.1'], allocatable: { cpu: '8' }, seenAt: '2026-11-25T10:00:00Z' };
const base64 = (text: string | Uint8Array): string => Buffer.from(text).toString('base64');

class Source implements ObjectSource {
  readonly configMaps = new Map<string, ConfigMap | Error>();
  readonly secrets = new Map<string, Secret | Error>();
  readonly asked: string[] = [];
  readonly tokens: TokenAsk[] = [];

  async configMap(namespace: string, name: string): Promise<ConfigMap | undefined> {
    this.asked.push(`configmap ${namespace}/${name}`);
    const found = this.configMaps.get(name);
    if (found instanceof Error) throw found;
    return found;
  }
  async secret(namespace: string, name: string): Promise<Secret | undefined> {
    this.asked.push(`secret ${namespace}/${name}`);
    const found = this.secrets.get(name);
    if (found instanceof Error) throw found;
    return found;
  }
  async services(): Promise<[]> {
    return [];
  }
  async serviceAccountToken(ask: TokenAsk): Promise<string> {
    this.tokens.push(ask);
    if (ask.audience === 'refused') throw new InterlinkError('Forbidden', 'no token for you');
    return `token-${this.tokens.length}`;
  }
}

const podWith = (volumes: Volume[], spec: Partial<Pod['spec']> = {}): Pod =>
  ({
    metadata: { name: 'p', namespace: 'ns', uid: 'u-1', labels: { a: 'b' }, futureField: 1 },
    spec: { containers: [{ name: 'c', image: 'i', futureField: 2 }], volumes, serviceAccountName: 'sa', ...spec },
  }) as unknown as Pod;

describe('collectBundle', () => {
  it('gathers whole objects for volumes and files for projected ones', async () => {
    const source = new Source();
    source.configMaps.set('m', {
      metadata: { name: 'm' },
      data: { a: 'alpha', b: 'beta' },
      binaryData: { bin: 'AAEC' },
    });
    source.secrets.set('s', {
      metadata: { name: 's' },
      data: { user: base64('me'), raw: base64(Uint8Array.of(255, 0)) },
    });
    const bundle = await collectBundle(
      podWith([
        { name: 'vm', configMap: { name: 'm', items: [{ key: 'a', path: 'x/y' }] } },
        { name: 'vs', secret: { secretName: 's' } },
        { name: 'again', secret: { secretName: 's' } },
        { name: 'none', configMap: { name: 'none', optional: true } },
        { name: 'scratch', emptyDir: {} },
        {
          name: 'all',
          projected: {
            sources: [
              { configMap: { name: 'm', items: [{ key: 'bin', path: 'dir/bin' }] } },
              { secret: { name: 's' } },
              { downwardAPI: { items: [{ path: 'labels', fieldRef: { fieldPath: 'metadata.labels' } }] } },
              { serviceAccountToken: { path: 'token', audience: 'vault.example', expirationSeconds: 1200 } },
              { configMap: { name: 'gone', optional: true } },
            ],
          },
        },
        {
          name: 'down',
          downwardAPI: {
            items: [{ path: 'cpu', resourceFieldRef: { containerName: 'c', resource: 'limits.cpu', divisor: '1m' } }],
          },
        },
      ]),
      source,
      facts,
      { signal },
    );
    expect(bundle.configMaps.map(({ metadata }) => metadata?.name)).toEqual(['m']);
    expect(bundle.secrets.map(({ metadata }) => metadata?.name)).toEqual(['s']);
    expect(bundle.configMaps[0]?.data).toEqual({ a: 'alpha', b: 'beta' });
    expect(bundle.projectedVolumes).toEqual([
      {
        metadata: { name: 'all' },
        data: { user: 'me', labels: 'a="b"', token: 'token-1' },
        binaryData: { 'dir/bin': 'AAEC', raw: base64(Uint8Array.of(255, 0)) },
      },
      { metadata: { name: 'down' }, data: { cpu: '8000' } },
    ]);
    expect(source.tokens).toEqual([
      {
        namespace: 'ns',
        serviceAccount: 'sa',
        podName: 'p',
        podUid: 'u-1',
        audience: 'vault.example',
        expirationSeconds: 1200,
      },
    ]);
    // Each object is asked for once, however often it is named.
    expect(source.asked.toSorted()).toEqual([...new Set(source.asked)].toSorted());
  });

  it('leaves the pod as it was and every unknown field in place', async () => {
    const pod = podWith([], { initContainers: [{ name: 'i', env: [{ name: 'A', value: 'a' }] }] });
    const before = structuredClone(pod);
    const bundle = await collectBundle(pod, new Source(), facts, { signal });
    expect(pod).toEqual(before);
    expect(bundle.pod).toMatchObject({ metadata: { futureField: 1 } });
    expect(bundle.pod.spec?.containers[0]).toEqual({ name: 'c', image: 'i', futureField: 2, env: [] });
    expect(bundle.pod.spec?.initContainers).toEqual([{ name: 'i', env: [{ name: 'A', value: 'a' }] }]);
  });

  it('takes the image pull secrets that there are, and starts the pod without the others', async () => {
    const source = new Source();
    const found = { metadata: { name: 'found' }, data: { '.dockerconfigjson': base64('{}') } };
    source.secrets.set('found', found);
    source.secrets.set('refused', new InterlinkError('Forbidden', 'no'));
    const names = ['found', 'none', 'refused', 'found', ''].map((name) => ({ name }));
    const pod = podWith([], { imagePullSecrets: names });
    const bundle = await collectBundle(pod, source, facts, { signal });
    expect(bundle.imagePullSecrets).toEqual([found]);
    expect(bundle.secrets).toEqual([]);
    expect(missingPullSecrets(bundle)).toEqual(['none', 'refused']);
    const early = collectBundle(pod, source, facts, { signal, mayBeTooEarly: true });
    await expect(early).rejects.toMatchObject({ kind: 'Forbidden' });
    source.secrets.set('refused', new InterlinkError('Unavailable', 'away'));
    await expect(collectBundle(pod, source, facts, { signal })).rejects.toMatchObject({ kind: 'Unavailable' });
  });

  it('keeps a key that is called __proto__', async () => {
    const source = new Source();
    source.configMaps.set('m', { data: JSON.parse('{"__proto__": "x"}') as Record<string, string> });
    const volumes = [{ name: 'v', projected: { sources: [{ configMap: { name: 'm' } }] } }];
    const bundle = await collectBundle(podWith(volumes), source, facts, { signal });
    expect(Object.entries(bundle.projectedVolumes[0]?.data ?? {})).toEqual([['__proto__', 'x']]);
  });

  it.each<[string, Volume, string]>([
    ['a missing Secret', { name: 'v', secret: { secretName: 'none' } }, 'secret "none" not found'],
    ['a missing ConfigMap', { name: 'v', configMap: { name: 'none' } }, 'configmap "none" not found'],
    [
      'a missing key of a ConfigMap',
      { name: 'v', configMap: { name: 'm', items: [{ key: 'k', path: 'k' }] } },
      'configmap references non-existent config key: k',
    ],
    [
      'a missing key of a Secret in a projected volume',
      { name: 'v', projected: { sources: [{ secret: { name: 's', items: [{ key: 'k', path: 'k' }] } }] } },
      'references non-existent secret key: k',
    ],
    [
      'two problems of one volume',
      { name: 'v', projected: { sources: [{ secret: { name: 'x' } }, { configMap: { name: 'y' } }] } },
      '[secret "x" not found, configmap "y" not found]',
    ],
    [
      'a refused token',
      { name: 'v', projected: { sources: [{ serviceAccountToken: { path: 't', audience: 'refused' } }] } },
      'no token for you',
    ],
    [
      'a source that is not supported',
      { name: 'v', projected: { sources: [{ clusterTrustBundle: { path: 't' } }] } },
      'projected volume source clusterTrustBundle is not supported',
    ],
    [
      'a field that a volume cannot show',
      { name: 'v', downwardAPI: { items: [{ path: 'f', fieldRef: { fieldPath: 'status.podIP' } }] } },
      'unsupported fieldPath: status.podIP',
    ],
  ])('says what is wrong with a volume: %s', async (_title, volume, message) => {
    const source = new Source();
    source.configMaps.set('m', { data: {} });
    source.secrets.set('s', { data: {} });
    const error: unknown = await collectBundle(podWith([volume]), source, facts, { signal }).catch((e: unknown) => e);
    expect((error as Error).message).toBe(`MountVolume.SetUp failed for volume "v" : ${message}`);
    expect(bundleFaultsOf(error)).toEqual([{ part: 'volume', name: 'v', message }]);
  });

  it('names every faulty volume before it looks at the environment', async () => {
    const volumes = ['a', 'b'].map((name) => ({ name, secret: { secretName: name } }));
    const containers = [{ name: 'c', env: [{ name: 'A', valueFrom: { secretKeyRef: { name: 'no', key: 'k' } } }] }];
    const error: unknown = await collectBundle(podWith(volumes, { containers }), new Source(), facts, { signal }).catch(
      (e: unknown) => e,
    );
    expect(bundleFaultsOf(error)?.map(({ part, name }) => `${part} ${name}`)).toEqual(['volume a', 'volume b']);
  });

  it('names every container whose environment is faulty', async () => {
    const env = [{ name: 'A', valueFrom: { configMapKeyRef: { name: 'm', key: 'wanted' } } }];
    const source = new Source();
    source.configMaps.set('m', { data: {} });
    const pod = podWith([], { initContainers: [{ name: 'i', env }], containers: [{ name: 'c', env }, { name: 'd' }] });
    const error: unknown = await collectBundle(pod, source, facts, { signal }).catch((e: unknown) => e);
    expect((error as InterlinkError).kind).toBe('NotFound');
    expect((error as Error).message).toBe("couldn't find key wanted in ConfigMap ns/m");
    expect(
      bundleFaultsOf(error)
        ?.map(({ name }) => name)
        .toSorted(),
    ).toEqual(['c', 'i']);
  });

  it('takes a Secret that cannot be read for unknown, not for missing, even when it is optional', async () => {
    const source = new Source();
    source.secrets.set(
      's',
      new InterlinkError('Forbidden', 'GET /api/v1/…: secrets "s" is forbidden: no (HTTP 403)', {
        details: { statusMessage: 'secrets "s" is forbidden: no' },
      }),
    );
    const pod = podWith([{ name: 'v', secret: { secretName: 's', optional: true } }]);
    const error: unknown = await collectBundle(pod, source, facts, { signal }).catch((e: unknown) => e);
    expect((error as InterlinkError).kind).toBe('Forbidden');
    expect((error as Error).message).toBe('MountVolume.SetUp failed for volume "v" : secrets "s" is forbidden: no');
  });

  it('rejects with the reason of the signal', async () => {
    const controller = new AbortController();
    const reason = new Error('stop');
    controller.abort(reason);
    await expect(collectBundle(podWith([]), new Source(), facts, { signal: controller.signal })).rejects.toBe(reason);
  });
});

describe('collectVolumes', () => {
  it('gathers live volumes alone; a fault of one holds up no other', async () => {
    const source = new Source();
    source.configMaps.set('m', { metadata: { name: 'm' }, data: { a: 'alpha' } });
    source.secrets.set('away', new InterlinkError('Unavailable', 'the API server is away'));
    const pod = podWith(
      [
        { name: 'vm', configMap: { name: 'm' } },
        { name: 'none', configMap: { name: 'none', optional: true } },
        { name: 'missing', secret: { secretName: 'missing' } },
        { name: 'away', secret: { secretName: 'away' } },
        { name: 'key', configMap: { name: 'm', items: [{ key: 'nope', path: 'x' }] } },
        { name: 'd', downwardAPI: { items: [{ path: 'labels', fieldRef: { fieldPath: 'metadata.labels' } }] } },
        { name: 't', projected: { sources: [{ serviceAccountToken: { path: 'token' } }] } },
        { name: 'e', emptyDir: {} },
      ],
      { containers: [{ name: 'c', image: 'i', envFrom: [{ configMapRef: { name: 'env' } }] }] },
    );
    const { volumes, faults } = await collectVolumes(pod, source, facts, { signal });
    expect(volumes.map(({ volume, objects }) => [volume.name, objects])).toEqual([
      ['vm', { configMaps: [source.configMaps.get('m')], secrets: [], projectedVolumes: [] }],
      ['none', { configMaps: [], secrets: [], projectedVolumes: [] }],
      [
        'd',
        { configMaps: [], secrets: [], projectedVolumes: [{ metadata: { name: 'd' }, data: { labels: 'a="b"' } }] },
      ],
      [
        't',
        { configMaps: [], secrets: [], projectedVolumes: [{ metadata: { name: 't' }, data: { token: 'token-1' } }] },
      ],
    ]);
    expect(faults).toEqual([
      { part: 'volume', name: 'missing', message: 'secret "missing" not found' },
      { part: 'volume', name: 'away', message: 'the API server is away' },
      { part: 'volume', name: 'key', message: 'configmap references non-existent config key: nope' },
    ]);
    expect(source.asked).not.toContain('configmap ns/env');
  });
});
