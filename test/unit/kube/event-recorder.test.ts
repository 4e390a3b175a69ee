import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { silentLogger } from '../../../src/base/logger.ts';
import { createKubeClient } from '../../../src/kube/client.ts';
import { createEventRecorder, type EventRecorder, type EventToRecord } from '../../../src/kube/event-recorder.ts';
import type { KubeClient } from '../../../src/kube/kube-client.ts';
import { FakeClock } from '../../fakes/fake-clock.ts';
import { FakeKubeApi } from '../../fakes/fake-kube-api.ts';

let api: FakeKubeApi;
let clock: FakeClock;
let kube: KubeClient;
let recorder: EventRecorder;
let controller: AbortController;
let done: Promise<void>;

function event(message: string, uid = 'u'): EventToRecord {
  const involvedObject = {
    apiVersion: 'v1',
    kind: 'Pod',
    namespace: 'ns',
    name: 'p',
    uid,
    fieldPath: 'spec.containers{c}',
  };
  return { involvedObject, type: 'Normal', reason: 'Started', message };
}

function start(queueLength = 1_000): void {
  recorder = createEventRecorder(
    { kube, clock, logger: silentLogger },
    { component: 'kubelet', host: 'n', queueLength },
  );
  done = recorder.run(controller.signal);
}

beforeEach(async () => {
  api = await FakeKubeApi.start();
  clock = new FakeClock(Date.parse('2026-11-25T12:00:00Z'));
  kube = createKubeClient({ connection: api.connection(), clock, logger: silentLogger, userAgent: 'test' });
  controller = new AbortController();
});

afterEach(async () => {
  controller.abort();
  await done;
  kube[Symbol.dispose]();
  await api[Symbol.asyncDispose]();
});

describe('event recorder', () => {
  it('writes an event as a kubelet would', async () => {
    start();
    recorder.record(event('Container started'));
    await recorder.flush();
    expect(api.list('v1/events')).toEqual([
      expect.objectContaining({
        metadata: expect.objectContaining({ namespace: 'ns', name: expect.stringMatching(/^p\.[0-9a-f]{16}$/) }),
        involvedObject: expect.objectContaining({ kind: 'Pod', uid: 'u', fieldPath: 'spec.containers{c}' }),
        type: 'Normal',
        reason: 'Started',
        message: 'Container started',
        source: { component: 'kubelet', host: 'n' },
        firstTimestamp: '2026-11-25T12:00:00Z',
        count: 1,
      }),
    ]);
  });

  it('counts a repetition on the first event, and starts anew when that has expired', async () => {
    start();
    recorder.record(event('m'));
    await recorder.flush();
    await clock.advance(5_000);
    recorder.record(event('m'));
    await recorder.flush();
    const [first] = api.list('v1/events');
    expect(first).toMatchObject({
      count: 2,
      firstTimestamp: '2026-11-25T12:00:00Z',
      lastTimestamp: '2026-11-25T12:00:05Z',
    });
    api.remove('v1/events', 'ns', first?.metadata.name ?? '');
    recorder.record(event('m'));
    await recorder.flush();
    expect(api.list('v1/events')).toMatchObject([{ count: 1 }]);
  });

  it('keeps the order and the same message of another pod apart', async () => {
    start();
    for (const [message, uid] of [
      ['1', 'a'],
      ['2', 'a'],
      ['1', 'b'],
    ] as const)
      recorder.record(event(message, uid));
    await recorder.flush();
    expect(api.list('v1/events').map(({ message }) => message)).toEqual(['1', '2', '1']);
  });

  it('tries again when the server stumbles', async () => {
    start();
    api.fail(() => true, { kind: 'status', status: 500 }, 2);
    recorder.record(event('m'));
    const written = async (): Promise<number> => {
      await clock.advance(500);
      return api.list('v1/events').length;
    };
    await expect.poll(written, { interval: 2 }).toBe(1);
  });

  it.each([
    ['the namespace is gone', 404],
    ['it is forbidden', 403],
    ['it is invalid', 422],
  ])('drops an event when %s and goes on with the next', async (_, status) => {
    start();
    api.fail(() => true, { kind: 'status', status });
    recorder.record(event('1'));
    recorder.record(event('2'));
    await recorder.flush();
    expect(api.list('v1/events').map(({ message }) => message)).toEqual(['2']);
  });

  it('drops what comes while too many wait, without an error', async () => {
    start(3);
    for (let i = 0; i < 50; i++) recorder.record(event(String(i)));
    await recorder.flush();
    expect(api.list('v1/events').length).toBeLessThan(10);
  });

  it('cuts a message at a kilobyte', async () => {
    start();
    for (const character of ['ü', '€', '🙂']) recorder.record(event(character.repeat(2_000)));
    await recorder.flush();
    const messages = api.list('v1/events').map(({ message }) => String(message));
    expect(messages).toHaveLength(3);
    for (const message of messages) {
      expect(Buffer.byteLength(message)).toBeLessThanOrEqual(1_024);
      expect(message).toMatch(/^(ü+|€+|(🙂)+)…$/);
    }
  });
});
