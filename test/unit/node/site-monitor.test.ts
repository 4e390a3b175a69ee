import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { InterlinkError } from '../../../src/base/errors.ts';
import { silentLogger } from '../../../src/base/logger.ts';
import { createSiteMonitor, type SiteMonitor } from '../../../src/node/site-monitor.ts';
import { FakeClock } from '../../fakes/fake-clock.ts';
import { MemorySidecar } from '../../fakes/memory-sidecar.ts';

let clock: FakeClock;
let sidecar: MemorySidecar;
let monitor: SiteMonitor;
let controller: AbortController;
let done: Promise<void>;
let changes: number;

const down = new InterlinkError('Unavailable', 'connection refused');
const settle = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 5));

beforeEach(() => {
  clock = new FakeClock();
  sidecar = new MemorySidecar({ clock });
  controller = new AbortController();
  changes = 0;
  monitor = createSiteMonitor(
    { sidecar, clock, logger: silentLogger },
    { pingIntervalMs: 10_000, pingTimeoutMs: 5_000, failureThreshold: 3 },
  );
  monitor.onChange(() => {
    changes += 1;
  });
});

afterEach(async () => {
  controller.abort();
  await done;
});

function start(): void {
  done = monitor.run(controller.signal);
}

describe('site monitor', () => {
  it('knows nothing before the first answer', () => {
    expect(monitor.state).toMatchObject({ connection: 'unknown', offer: { resources: {} } });
    start();
  });

  it('is ready after the first look, also when that failed', async () => {
    sidecar.fail('ping', down);
    start();
    await monitor.ready;
    expect(monitor.state.connection).toBe('unknown');
  });

  it('tells of a change once, not at each ping', async () => {
    start();
    await monitor.ready;
    for (let i = 0; i < 5; i++) await clock.advance(10_000);
    await settle();
    expect(sidecar.calls.length).toBeGreaterThan(4);
    expect([monitor.state.connection, changes]).toEqual(['reachable', 1]);
  });

  it('gives the site up after three failures in a row and takes it back at the first answer', async () => {
    start();
    await monitor.ready;
    const step = async (fails: boolean): Promise<string> => {
      if (fails) sidecar.fail('ping', down);
      await clock.advance(10_000);
      await settle();
      return monitor.state.connection;
    };
    expect([await step(true), await step(true), await step(false)]).toEqual(['reachable', 'reachable', 'reachable']);
    expect([await step(true), await step(true), await step(true)]).toEqual(['reachable', 'reachable', 'unreachable']);
    expect(monitor.state.problem).toBe('connection refused');
    expect(monitor.state.offer.resources).toMatchObject({ cpu: '4' });
    expect(await step(false)).toBe('reachable');
  });

  it('counts a ping that does not come back as a failure', async () => {
    sidecar.ping = ({ signal }) =>
      new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
    start();
    for (let i = 0; i < 6; i++) {
      await settle();
      await clock.advance(10_000);
    }
    await expect.poll(() => monitor.state.connection, { interval: 2 }).toBe('unreachable');
    expect(monitor.state.problem).toMatch(/no answer within 5000 ms/);
  });
});
