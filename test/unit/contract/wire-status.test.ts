import { describe, expect, it } from 'vitest';
import { isKind } from '../../../src/base/errors.ts';
import type { PodStatus } from '../../../src/contract/pod-status.ts';
import { wireStatus } from '../../../src/contract/wire-status.ts';
import type { ContainerStatus } from '../../../src/kube/types.ts';
import { createPod } from '../../fakes/bundle.ts';

const uid = '0b6b3f0e-4f0c-4d8e-9a57-0a1f8a3f7d11';
const pod = createPod(({ metadata, spec }) => {
  if (metadata) Object.assign(metadata, { name: 'p', uid });
  spec.initContainers = [{ name: 'init', image: 'i:1' }];
  spec.containers = [
    { name: 'a', image: 'a:1' },
    { name: 'b', image: 'b:1' },
  ];
});
const terminated = (exitCode: number) => ({ terminated: { exitCode, reason: 'Completed' } });
const running = { running: { startedAt: '2026-11-25T10:00:00Z' } };
const waiting = { waiting: { reason: 'ContainerCreating' } };

function statusOf(element: object): PodStatus | undefined {
  return wireStatus.decodeList([{ name: 'p', UID: uid, namespace: 'default', ...element }], [pod])[0];
}

describe('status of our own peers', () => {
  const full: PodStatus = {
    name: 'p',
    namespace: 'default',
    uid,
    jobId: '4711',
    nodeName: 'worker-1',
    podIP: '10.0.0.1',
    sandbox: 'Gone',
    startTime: '2026-11-25T10:00:00Z',
    phase: 'Failed',
    reason: 'DeadlineExceeded',
    message: 'Slurm TIMEOUT after 1:00:00',
    containers: [{ name: 'a', image: 'a:1', imageID: '', ready: false, restartCount: 0, state: terminated(137) }],
    initContainers: [],
    events: [{ id: '1', type: 'Warning', reason: 'Failed', message: 'm', time: '2026-11-25T10:00:00Z' }],
  };

  it('arrives whole', () => {
    expect(wireStatus.decodeList(JSON.parse(JSON.stringify([wireStatus.encode(full)])), [])).toEqual([full]);
  });

  it('has the spellings that existing nodes read, and a job id that is always there', () => {
    const { jobId: _unused, ...pending } = full;
    expect(wireStatus.encode(full)).toMatchObject({
      name: 'p',
      UID: uid,
      namespace: 'default',
      JID: '4711',
      NodeName: 'worker-1',
    });
    expect(wireStatus.encode(pending)).toMatchObject({ JID: '' });
  });

  it('refuses a sandbox that it does not know', () => {
    expect(() => statusOf({ sandbox: 'Paused', containers: [] })).toThrow(/\[0\]\.sandbox/);
  });
});

describe('status of existing plugins', () => {
  it.each([
    ['no list', null],
    ['an empty list', []],
    [
      'an element without a name',
      [{ name: '', UID: uid, namespace: 'default', containers: [{ name: 'a', state: terminated(0) }] }],
    ],
    [
      'an element without a UID',
      [{ name: 'p', UID: '', namespace: 'default', containers: [{ name: 'a', state: terminated(0) }] }],
    ],
    ['no containers', [{ name: 'p', UID: uid, namespace: 'default', containers: [] }]],
    ['null containers', [{ name: 'p', UID: uid, namespace: 'default', containers: null }]],
  ])('says nothing by %s', (_name, answer) => {
    expect(wireStatus.decodeList(answer, [pod])).toEqual([]);
  });

  it.each([
    ['all waiting', [waiting, waiting], [], 'Waiting'],
    ['an empty state for a job that it does not know', [{}, {}], [], 'Waiting'],
    ['init running', [waiting, waiting], [running], 'Ready'],
    ['init done', [waiting, waiting], [terminated(0)], 'Ready'],
    ['one of two running', [running, waiting], [], 'Ready'],
    ['one of two ended', [terminated(0), running], [], 'Ready'],
    ['all ended', [terminated(0), terminated(3)], [terminated(0)], 'Gone'],
    ['init failed for good', [waiting, waiting], [terminated(1)], 'Gone'],
  ] as const)('means by %s the sandbox %s', (_name, [a, b], [init], sandbox) => {
    const containers = [
      { name: 'a', state: a },
      { name: 'b', state: b },
    ];
    const initContainers = init ? [{ name: 'init', state: init }] : null;
    expect(statusOf({ containers, initContainers })?.sandbox).toBe(sandbox);
  });

  it('never finishes a pod because a container is left out', () => {
    const status = statusOf({ containers: [{ name: 'a', state: terminated(0) }] });
    expect(status?.sandbox).toBe('Ready');
    expect(status?.containers).toMatchObject([{ name: 'a' }, { name: 'b', image: 'b:1', state: waiting }]);
  });

  it('does not end a pod for an init container that will be restarted', () => {
    const restarting = structuredClone(pod);
    if (restarting.spec) restarting.spec.restartPolicy = 'OnFailure';
    const answer = [
      {
        name: 'p',
        UID: uid,
        namespace: 'default',
        containers: [{ name: 'a', state: {} }],
        initContainers: [{ name: 'init', state: terminated(1) }],
      },
    ];
    expect(wireStatus.decodeList(answer, [restarting])[0]?.sandbox).toBe('Ready');
  });

  it('is completed from the spec and freed of the nulls of Python', () => {
    const status = statusOf({
      JID: null,
      containers: [
        {
          name: 'b',
          state: { running: null, waiting: null, terminated: { exitCode: null, message: null, reason: 'Error' } },
          lastState: null,
        },
        {
          name: 'a',
          state: { running: { startedAt: '2026-11-25T10:00:00Z' }, terminated: null },
          ready: true,
          image: '',
        },
        { name: 'unknown', state: terminated(9) },
      ],
    });
    expect(status).toEqual({
      namespace: 'default',
      name: 'p',
      uid,
      sandbox: 'Ready',
      containers: [
        { name: 'a', image: 'a:1', imageID: '', ready: true, restartCount: 0, lastState: {}, state: running },
        {
          name: 'b',
          image: 'b:1',
          imageID: '',
          ready: false,
          restartCount: 0,
          lastState: {},
          state: { terminated: { exitCode: 0, reason: 'Error' } },
        },
      ],
      initContainers: [
        { name: 'init', image: 'i:1', imageID: '', ready: false, restartCount: 0, lastState: {}, state: waiting },
      ],
    });
  });

  it.each([
    ['an object', {}, /expected a list/],
    ['an error text', 'error', /expected a list/],
    ['a number in it', [1], /\[0\]: expected a JSON object/],
    ['containers that are none', [{ name: 'p', UID: uid, namespace: 'default', containers: 'x' }], /\[0\]\.containers/],
    [
      'a container without a name',
      [{ name: 'p', UID: uid, namespace: 'default', containers: [{ state: {} }] }],
      /\[0\]\.containers\[0\]\.name/,
    ],
    ['a UID that is a path', [{ name: 'p', UID: '../x', namespace: 'default', containers: [{ name: 'a' }] }], /uid/],
  ])('is refused when it is %s', (_name, answer, message) => {
    let error: unknown;
    try {
      wireStatus.decodeList(answer, [pod]);
    } catch (caught) {
      error = caught;
    }
    expect(isKind(error, 'Invalid')).toBe(true);
    expect((error as Error).message).toMatch(message);
  });

  it('keeps what it does not know of a container', () => {
    const resources = { allocatedResources: { cpu: '1' } };
    const [first] = statusOf({ containers: [{ name: 'a', state: running, ...resources }] })?.containers ?? [];
    expect(first as ContainerStatus & typeof resources).toMatchObject(resources);
  });
});
