import { expect, test } from 'vitest';
import type { PodStatus } from '../../../src/contract/pod-status.ts';
import type { WatchEvent } from '../../../src/contract/sidecar.ts';
import { WatchHub } from '../../../src/sidecar/batch/watch-hub.ts';
import { FakeClock } from '../../fakes/fake-clock.ts';

const status = (name: string): PodStatus => ({
  namespace: 'n',
  name,
  uid: name,
  sandbox: 'Ready',
  containers: [],
  initContainers: [],
});
const setup = () => {
  const clock = new FakeClock();
  const items: PodStatus[] = [];
  const hub = new WatchHub({ clock, snapshot: () => [...items], heartbeatMs: 10_000 });
  return { clock, items, hub };
};

test('a reader gets a snapshot, then every change in order', async () => {
  const { hub, items } = setup();
  items.push(status('a'));
  const events = hub.subscribe(new AbortController().signal);
  expect((await events.next()).value).toEqual({ type: 'SNAPSHOT', items: [status('a')] });
  for (const name of ['b', 'c']) hub.publish({ type: 'STATUS', item: status(name) });
  expect((await events.next()).value).toEqual({ type: 'STATUS', item: status('b') });
  expect((await events.next()).value).toEqual({ type: 'STATUS', item: status('c') });
  await events.return();
});

test('silence is broken by heartbeats', async () => {
  const { hub, clock } = setup();
  const events = hub.subscribe(new AbortController().signal);
  await events.next();
  const next = events.next();
  await clock.advance(10_000);
  expect((await next).value).toEqual({ type: 'HEARTBEAT' });
  await events.return();
});

test('a reader that does not read gets a fresh snapshot in the place of what it missed', async () => {
  const { hub, items } = setup();
  const events = hub.subscribe(new AbortController().signal);
  await events.next();
  for (let index = 0; index < 10_000; index += 1) hub.publish({ type: 'STATUS', item: status(`p${index}`) });
  items.push(status('now'));
  const seen: WatchEvent[] = [(await events.next()).value as WatchEvent];
  expect(seen).toEqual([{ type: 'SNAPSHOT', items: [status('now')] }]);
  await events.return();
});

test('an abort ends the watch with its reason', async () => {
  const { hub } = setup();
  const stop = new AbortController();
  const events = hub.subscribe(stop.signal);
  await events.next();
  const next = events.next();
  stop.abort(new Error('enough'));
  await expect(next).rejects.toThrow('enough');
});
