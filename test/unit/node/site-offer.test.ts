import { describe, expect, it } from 'vitest';
import type { PingResult } from '../../../src/contract/sidecar.ts';
import { SiteOffers } from '../../../src/node/site-offer.ts';

function offers(...pings: readonly Omit<PingResult, 'status'>[]) {
  const site = new SiteOffers();
  const complaints: string[] = [];
  for (const ping of pings) site.add({ status: 'ok', ...ping }, (problem) => complaints.push(problem));
  return { ...site.current, complaints };
}

const resources = (value: NonNullable<PingResult['resources']>) => ({ resources: value });
const gpus = (available: string) => [{ resourceType: 'nvidia.com/gpu', available }];

describe('offer of a site', () => {
  it('believes the first answer', () => {
    const ping = resources({ cpu: '64', memory: '1Ti', pods: '500', accelerators: gpus('8') });
    expect(offers(ping).resources).toEqual({ cpu: '64', memory: '1Ti', pods: '500', 'nvidia.com/gpu': '8' });
  });

  it('believes more at once and less after three answers in a row', () => {
    const [high, low] = [resources({ cpu: '64' }), resources({ cpu: '32' })];
    expect(offers(low, high).resources).toEqual({ cpu: '64' });
    expect(offers(high, low, low).resources).toEqual({ cpu: '64' });
    expect(offers(high, low, low, low).resources).toEqual({ cpu: '32' });
    expect(offers(high, low, low, high, low, low).resources).toEqual({ cpu: '64' });
  });

  it('compares quantities, not texts', () => {
    expect(offers(resources({ memory: '1Gi' }), resources({ memory: '900Mi' })).resources).toEqual({ memory: '1Gi' });
  });

  it('removes a device only after three answers without it', () => {
    const [one, none] = [resources({ accelerators: gpus('8') }), resources({ accelerators: [] })];
    expect(offers(one, none, none).resources).toEqual({ 'nvidia.com/gpu': '8' });
    expect(offers(one, none, none, none).resources).toEqual({});
  });

  it('keeps devices when the answer says nothing about devices', () => {
    const [one, silent] = [resources({ accelerators: gpus('8') }), resources({ cpu: '1' })];
    expect(offers(one, silent, silent, silent, silent).resources).toEqual({ cpu: '1', 'nvidia.com/gpu': '8' });
  });

  it('takes zero devices as what it is', () => {
    const [some, zero] = [resources({ accelerators: gpus('8') }), resources({ accelerators: gpus('0') })];
    expect(offers(some, zero, zero, zero).resources).toEqual({ 'nvidia.com/gpu': '0' });
  });

  it.each([
    ['zero', { cpu: '0', memory: '0', pods: '0' }],
    ['negative', { cpu: '-1', memory: '-5Gi', pods: '-1' }],
    ['no quantity', { cpu: 'many', memory: '', pods: '1.5' }],
    ['absent', {}],
  ])('keeps cpu, memory and pods when the answer is %s, however often', (_, bad) => {
    const good = { cpu: '4', memory: '8Gi', pods: '10' };
    const pings = [resources(good), ...Array.from({ length: 5 }, () => resources(bad))];
    const { resources: now, complaints } = offers(...pings);
    expect(now).toEqual(good);
    expect(complaints).toHaveLength(5 * Object.keys(bad).length);
  });

  it('ignores devices that Kubernetes would refuse, and keeps what an odd answer is about', () => {
    const odd = [
      { resourceType: '', available: '1' },
      { resourceType: 'gpu', available: '1' },
      { resourceType: 'bad name/x', available: '1' },
      { resourceType: 'nvidia.com/gpu', available: 'half' },
      { resourceType: 'amd.com/gpu', available: '0.5' },
    ];
    const pings = [resources({ accelerators: gpus('8') }), ...Array(4).fill(resources({ accelerators: odd }))];
    expect(offers(...pings).resources).toEqual({ 'nvidia.com/gpu': '8' });
  });

  it('leaves taints alone until the site says something about them', () => {
    expect(offers(resources({ cpu: '1' })).taints).toBeUndefined();
    expect(offers({ taints: [] }).taints).toEqual([]);
  });

  it('adds a taint at once and takes it away after three answers', () => {
    const taint = { key: 'site/maintenance', value: 'soon', effect: 'NoSchedule' };
    const [on, off] = [{ taints: [taint] }, { taints: [] }];
    expect(offers(off, on).taints).toEqual([taint]);
    expect(offers(on, off, off).taints).toEqual([taint]);
    expect(offers(on, off, off, off).taints).toEqual([]);
  });

  it('takes an unknown effect for NoSchedule and refuses what is no taint', () => {
    const taints = [
      { key: 'a', effect: 'Nope' },
      { key: '', effect: 'NoSchedule' },
      { key: 'b', value: 'not valid!', effect: 'NoSchedule' },
    ];
    const { taints: now, complaints } = offers({ taints });
    expect(now).toEqual([{ key: 'a', effect: 'NoSchedule' }]);
    expect(complaints).toHaveLength(2);
  });
});
