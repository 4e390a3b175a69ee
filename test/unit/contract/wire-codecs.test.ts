import { describe, expect, it } from 'vitest';
import { isKind } from '../../../src/base/errors.ts';
import type { LogOptions } from '../../../src/contract/sidecar.ts';
import { wireApi } from '../../../src/contract/wire-api.ts';
import { wireCreate } from '../../../src/contract/wire-create.ts';
import { wireLogs } from '../../../src/contract/wire-logs.ts';
import { wirePing } from '../../../src/contract/wire-ping.ts';
import { wirePlugin } from '../../../src/contract/wire-plugin.ts';
import { wireVolumes } from '../../../src/contract/wire-volumes.ts';
import { wireWatch } from '../../../src/contract/wire-watch.ts';
import { createBundle, createPod } from '../../fakes/bundle.ts';

const uid = '0b6b3f0e-4f0c-4d8e-9a57-0a1f8a3f7d11';
const pod = createPod(({ metadata, spec }) => {
  if (metadata) Object.assign(metadata, { name: 'p', uid });
  spec.initContainers = [{ name: 'init', volumeMounts: [{ name: 'token', mountPath: '/t' }] }];
  spec.containers = [
    {
      name: 'main',
      volumeMounts: [
        { name: 'cm', mountPath: '/a' },
        { name: 'cm', mountPath: '/b' },
        { name: 'sec', mountPath: '/c' },
        { name: 'scratch', mountPath: '/d' },
      ],
    },
    { name: 'side' },
  ];
  spec.volumes = [
    { name: 'cm', configMap: { name: 'settings' } },
    { name: 'sec', secret: { secretName: 'keys' } },
    { name: 'token', projected: { sources: [] } },
    { name: 'scratch', emptyDir: {} },
    { name: 'idle', secret: { secretName: 'idle' } },
  ];
});
const settings = { metadata: { name: 'settings' }, data: { a: '1' } };
const keys = { metadata: { name: 'keys' }, data: { k: 'AA==' } };
const idle = { metadata: { name: 'idle' }, data: { k: 'AQ==' } };
const token = { metadata: { name: 'token' }, data: { token: 't' } };
const bundle = createBundle(pod, { configMaps: [settings], secrets: [keys, idle], projectedVolumes: [token] });
const registry = {
  metadata: { name: 'registry' },
  type: 'kubernetes.io/dockerconfigjson',
  data: { '.dockerconfigjson': 'e30=' },
};
const withPullSecret = { ...bundle, imagePullSecrets: [registry] };

/** As it would arrive. */
const sent = (value: unknown): unknown => JSON.parse(JSON.stringify(value));

function failureOf(run: () => unknown): Error {
  try {
    run();
  } catch (error) {
    if (isKind(error, 'Invalid')) return error;
    throw error;
  }
  throw new Error('nothing was refused');
}

describe('create, node to API server', () => {
  it('has the names of the contract, and null for what is empty', () => {
    expect(sent(wireApi.encodeCreate(bundle))).toEqual({
      pod: sent(pod),
      configmaps: [settings],
      secrets: [keys, idle],
      projectedvolumesmaps: [token],
      jobscriptURL: '',
    });
    expect(wireApi.encodeCreate(createBundle(pod))).toMatchObject({
      configmaps: null,
      secrets: null,
      projectedvolumesmaps: null,
    });
  });
});

describe('create, API server to plugin', () => {
  it('gives each container what it mounts, init containers first, twice what is mounted twice', () => {
    expect(sent(wirePlugin.encodeCreate(bundle))).toMatchObject({
      pod: sent(pod),
      container: [
        { name: 'init', configMaps: null, projectedvolumemaps: [token], secrets: null, emptyDirs: null },
        { name: 'main', configMaps: [settings, settings], projectedvolumemaps: null, secrets: [keys], emptyDirs: null },
        { name: 'side', configMaps: null, projectedvolumemaps: null, secrets: null, emptyDirs: null },
      ],
      unmounted: { secrets: [idle] },
    });
  });

  it('carries the settings of a job script that nobody configured, every key of them', () => {
    const { jobConfig } = wirePlugin.encodeCreate(bundle) as { jobConfig: Record<string, object> };
    expect(Object.keys(jobConfig)).toEqual(['SingularityHubProxy', 'ApptainerOptions', 'Volumes']);
    expect(Object.keys(jobConfig.ApptainerOptions ?? {})).toHaveLength(10);
  });

  it('gives a ConfigMap with binary content only an empty data, which the Python kit demands', () => {
    const binary = { metadata: { name: 'settings' }, binaryData: { b: 'AA==' } };
    const { container } = wirePlugin.encodeCreate(createBundle(pod, { configMaps: [binary] })) as {
      container: { configMaps: unknown }[];
    };
    expect(container[1]?.configMaps).toEqual([
      { ...binary, data: {} },
      { ...binary, data: {} },
    ]);
  });
});

describe('new contents of volumes', () => {
  it.each([{}, { imagePullSecrets: null }])('are something (%o is refused)', (more) => {
    const body = { pod: { metadata: { name: 'p', namespace: 'ns', uid } }, volumes: [], ...more };
    expect(failureOf(() => wireVolumes.decode(body)).message).toContain('volume update.volumes: expected at least one');
  });
});

describe('create, received', () => {
  it.each([
    ['the shape of a node', wireApi.encodeCreate(bundle)],
    ['the shape of a plugin', wirePlugin.encodeCreate(bundle)],
    ['nulls for no image pull secrets', { ...wireApi.encodeCreate(bundle), imagePullSecrets: null }],
    ['a list of one', [wirePlugin.encodeCreate(bundle)]],
    [
      'keys in another case',
      { POD: pod, ConfigMaps: [settings], Secrets: [keys, idle], ProjectedVolumesMaps: [token] },
    ],
  ])('takes %s', (_name, value) => {
    expect(wireCreate.decodeRequest(sent(value))).toEqual(sent(bundle));
  });

  it.each([
    ['a node', wireApi.encodeCreate(withPullSecret)],
    ['an API server', wirePlugin.encodeCreate(withPullSecret)],
  ])('takes image pull secrets of %s', (_name, value) => {
    expect(sent(value)).toMatchObject({ imagePullSecrets: [registry] });
    expect(wireCreate.decodeRequest(sent(value))).toEqual(sent(withPullSecret));
  });

  it('takes a pod without kind, with nulls where Go has nothing', () => {
    const bare = {
      metadata: { name: 'p', namespace: 'default', uid, creationTimestamp: null },
      spec: { containers: [{ name: 'c', resources: {} }] },
      status: {},
    };
    expect(wireCreate.decodeRequest({ pod: bare, container: null, jobConfig: {} })).toEqual({
      pod: bare,
      configMaps: [],
      secrets: [],
      projectedVolumes: [],
    });
  });

  it.each([
    [null, /create request: expected a JSON object, got null/],
    ['text', /expected a JSON object, got a string/],
    [[], /expected one element, got 0/],
    [[{}, {}], /expected one element, got 2/],
    [{}, /create request\.pod/],
    [{ pod: null }, /create request\.pod/],
    [{ pod: { metadata: { name: 'p' } } }, /create request\.pod\.metadata\.uid/],
    [{ pod: { metadata: { name: 'p', uid: 'u' }, spec: { containers: [] } } }, /create request\.pod\.spec\.containers/],
    [
      { pod: { metadata: { name: 'p', uid: '../../etc' }, spec: { containers: [{ name: 'c' }] } } },
      /no valid metadata.uid/,
    ],
    [
      { pod: { metadata: { name: '../x', uid: 'u' }, spec: { containers: [{ name: 'c' }] } } },
      /no valid metadata.name/,
    ],
    [
      {
        pod: { metadata: { name: 'p', uid: 'u' }, spec: { containers: [{ name: 'c' }] } },
        secrets: [{ data: { k: 'c2VjcmV0' } }],
      },
      /create request\.secrets\[0\]\.metadata/,
    ],
    [
      { pod: { metadata: { name: 'p', uid: 'u' }, spec: { containers: [{ name: 'c' }] } }, configmaps: 'x' },
      /create request\.configmaps/,
    ],
    [
      { pod: { metadata: { name: 'p', uid: 'u' }, spec: { containers: [{ name: 'c' }] } }, container: [1] },
      /create request\.container\[0\]/,
    ],
  ])('refuses %j naming the path', (value, message) => {
    const error = failureOf(() => wireCreate.decodeRequest(value));
    expect(error.message).toMatch(message);
    expect(error.message).not.toContain('c2VjcmV0');
  });
});

describe('create, answered', () => {
  it.each([
    [{ PodUID: 'u', PodJID: '4711' }],
    [[{ PodUID: 'u', PodJID: '4711' }]],
    [{ poduid: 'u', podjid: '4711', extra: 1 }],
  ])('reads %j', (value) => {
    expect(wireCreate.decodeAnswer(value, 'u')).toEqual({ uid: 'u', jobId: '4711' });
  });

  it.each([[null], ['4711'], [{}], [[]], [{ PodUID: 'u' }], [{ PodUID: 'other', PodJID: '1' }]])(
    'refuses %j',
    (value) => {
      failureOf(() => wireCreate.decodeAnswer(value, 'u'));
    },
  );
});

describe('logs', () => {
  const ref = { namespace: 'default', name: 'p', uid, container: 'main' };
  const wire = {
    Namespace: 'default',
    PodUID: uid,
    PodName: 'p',
    ContainerName: 'main',
    Opts: {
      Tail: 0,
      Bytes: 0,
      Timestamps: false,
      Follow: false,
      Previous: false,
      SinceSeconds: 0,
      SinceTime: '0001-01-01T00:00:00Z',
    },
  };

  it('are asked for with every option present, and limits under both names for plugins', () => {
    expect(wireLogs.encode({ ...ref, options: {} }, false)).toEqual(wire);
    expect(wireLogs.encode({ ...ref, options: { limitBytes: 7 } }, true).Opts).toMatchObject({
      Bytes: 7,
      LimitBytes: 7,
    });
  });

  it.each<LogOptions>([
    {},
    { tailLines: 5 },
    { tailLines: 0 },
    { limitBytes: 10 },
    { sinceSeconds: 60 },
    { sinceTime: '2026-11-25T10:00:00Z' },
    { follow: true, timestamps: true, previous: true },
    { follow: true, attempt: 0 },
    { attempt: 7 },
  ])('%j arrives as it was sent', (options) => {
    for (const forPlugin of [true, false])
      expect(wireLogs.decode(sent(wireLogs.encode({ ...ref, options }, forPlugin)))).toEqual({ ...ref, options });
  });

  it('are read in any case, without options, and with an empty container', () => {
    expect(wireLogs.decode({ namespace: 'default', poduid: uid, podname: 'p', containername: '' })).toEqual({
      ...ref,
      container: '',
      options: {},
    });
  });

  it.each([
    [null, 'invalid request body'],
    [{ ...wire, Opts: { Tail: 'x' } }, 'invalid request body'],
    [{ ...wire, Opts: { Tail: -1 } }, 'invalid request body'],
    [{ ...wire, Opts: { SinceTime: 'yesterday' } }, 'invalid request body'],
    [{ ...wire, Namespace: '../x' }, 'invalid namespace: must be a valid DNS label'],
    [{ ...wire, Namespace: '' }, 'invalid namespace: must be a valid DNS label'],
    [{ ...wire, PodUID: '../x' }, 'invalid pod UID: must be a valid UUID'],
    [{ ...wire, ContainerName: 'a/b' }, 'invalid container name: must be a valid DNS label'],
    [{ ...wire, Opts: { Tail: 1, Bytes: 1 } }, 'Both Tail and LimitBytes set. Set only one of them'],
    [
      { ...wire, Opts: { SinceSeconds: 1, SinceTime: '2026-11-25T10:00:00Z' } },
      'Both SinceSeconds and SinceTime set. Set only one of them',
    ],
    [
      { ...wire, Namespace: '', PodUID: '', Opts: { Tail: 1, Bytes: 1 } },
      'invalid namespace: must be a valid DNS label',
    ],
  ])('%j is refused in the words of the existing server', (value, message) => {
    expect(failureOf(() => wireLogs.decode(value)).message).toBe(message);
  });
});

describe('ping', () => {
  it.each([
    [null, { status: 'ok' }],
    [[], { status: 'ok' }],
    ['OK', { status: 'ok' }],
    [{ message: 'fine', status: 'OK' }, { status: 'ok' }],
    [{ resources: {} }, { status: 'ok', resources: {} }],
    [{ resources: { CPU: 64, memory: '', pods: null } }, { status: 'ok', resources: { cpu: '64' } }],
    [
      { resources: { accelerators: [{ resourceType: 'nvidia.com/gpu', available: 4 }, { available: '1' }, 7] } },
      { status: 'ok', resources: { accelerators: [{ resourceType: 'nvidia.com/gpu', available: '4' }] } },
    ],
    [{ taints: [] }, { status: 'ok', taints: [] }],
    [{ taints: null }, { status: 'ok' }],
    [
      { taints: [{ key: 'k', value: '', effect: 'NoSchedule' }, { key: '' }] },
      { status: 'ok', taints: [{ key: 'k', effect: 'NoSchedule' }] },
    ],
  ])('%j means %j', (value, expected) => {
    expect(wirePing.decode(value)).toEqual(expected);
  });
});

describe('watch', () => {
  it('ignores events of a newer peer and refuses what it would act on wrongly', () => {
    expect(wireWatch.decode({ type: 'BOOKMARK' })).toBeUndefined();
    expect(wireWatch.decode({ type: 'HEARTBEAT', at: 1 })).toEqual({ type: 'HEARTBEAT' });
    for (const value of [
      null,
      {},
      { type: 'STATUS' },
      { type: 'STATUS', item: { name: '', UID: 'u', namespace: 'd' } },
      { type: 'SNAPSHOT', items: {} },
      { type: 'DELETED' },
    ])
      failureOf(() => wireWatch.decode(value));
  });
});
