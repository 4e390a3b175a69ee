import { describe, expect, it } from 'vitest';
import { RestartBackoff } from '../../../src/runner/restart-backoff.ts';
import { FakeClock } from '../../fakes/fake-clock.ts';

describe('RestartBackoff', () => {
  it('lets the first restart come at once, then waits 10 s, doubling to 300 s', async () => {
    const clock = new FakeClock();
    const backoff = new RestartBackoff(clock);
    const waits: number[] = [];
    for (let attempt = 0; attempt < 9; attempt += 1) {
      const endedMs = clock.monotonicMs();
      waits.push(backoff.remainingMs(endedMs) / 1000);
      await clock.advance(backoff.remainingMs(endedMs));
      expect(backoff.remainingMs(endedMs)).toBe(0);
      backoff.restart(endedMs);
    }
    expect(waits).toEqual([0, 10, 20, 40, 80, 160, 300, 300, 300]);
  });

  it.each([
    [600_000, 20_000],
    [600_001, 0],
  ])('after an attempt that ran for %i ms waits %i ms, and over again when that is nothing', async (ranMs, wait) => {
    const clock = new FakeClock();
    const backoff = new RestartBackoff(clock);
    backoff.restart(0);
    await clock.advance(10_000);
    backoff.restart(0);
    await clock.advance(ranMs);
    const endedMs = clock.monotonicMs();
    expect(backoff.remainingMs(endedMs)).toBe(wait);
    await clock.advance(wait);
    backoff.restart(endedMs);
    expect(backoff.delayMs).toBe(wait === 0 ? 10_000 : 40_000);
  });

  it('counts from the end, not from when it is asked', async () => {
    const clock = new FakeClock();
    const backoff = new RestartBackoff(clock);
    backoff.restart(0);
    await clock.advance(4_000);
    expect(backoff.remainingMs(1_000)).toBe(7_000);
  });
});
