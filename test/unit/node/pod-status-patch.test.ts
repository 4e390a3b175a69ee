import { describe, expect, it } from 'vitest';
import type { Pod, PodStatusFields } from '../../../src/kube/types.ts';
import { podStatusPatch } from '../../../src/node/pod-status-patch.ts';
import { mergePatch } from '../../fakes/merge-patch.ts';

const podOf = (status: PodStatusFields, annotations?: Record<string, string>): Pod => ({
  metadata: { name: 'p', uid: 'u', ...(annotations ? { annotations } : {}) },
  status,
});
const before: PodStatusFields = {
  phase: 'Pending',
  reason: 'Old',
  qosClass: 'BestEffort',
  hostIP: '10.0.0.1',
  hostIPs: [{ ip: '10.0.0.1' }],
  conditions: [
    { type: 'example.org/mine', status: 'True' },
    { type: 'Ready', status: 'False', reason: 'ContainersNotReady', message: 'no', lastProbeTime: null } as never,
    { type: 'Initialized', status: 'True' },
  ],
};

describe('podStatusPatch', () => {
  it('is nothing when nothing has changed', () => {
    expect(podStatusPatch(podOf(before), structuredClone(before))).toBeUndefined();
  });

  it('holds the UID and only what has changed, and drops what is not there any more', () => {
    const { reason: _gone, ...rest } = before;
    const wanted: PodStatusFields = {
      ...rest,
      phase: 'Running',
      podIP: '10.9.9.9',
      podIPs: [{ ip: '10.9.9.9' }],
      conditions: [
        { type: 'Ready', status: 'True' },
        { type: 'Initialized', status: 'True' },
      ],
    };
    expect(podStatusPatch(podOf(before), wanted)).toEqual({
      metadata: { uid: 'u' },
      status: {
        phase: 'Running',
        reason: null,
        podIP: '10.9.9.9',
        podIPs: [{ $patch: 'replace' }, { ip: '10.9.9.9' }],
        conditions: [{ type: 'Ready', status: 'True', reason: null, message: null, lastProbeTime: null }],
      },
    });
  });

  it('leaves fields and conditions of others alone, whatever the wanted status has', () => {
    const wanted: PodStatusFields = {
      ...before,
      qosClass: 'Guaranteed',
      conditions: before.conditions?.slice(1) ?? [],
    };
    expect(podStatusPatch(podOf(before), wanted)).toBeUndefined();
  });

  it('takes conditions of the node away', () => {
    const patch = podStatusPatch(podOf(before), { ...before, conditions: [] });
    expect(patch).toMatchObject({
      status: {
        conditions: [
          { type: 'Ready', $patch: 'delete' },
          { type: 'Initialized', $patch: 'delete' },
        ],
      },
    });
    expect(mergePatch({ status: before }, patch, true)).toMatchObject({
      status: { conditions: [{ type: 'example.org/mine', status: 'True' }] },
    });
  });

  it('carries an annotation once', () => {
    expect(podStatusPatch(podOf(before), before, { JobID: '7' })).toEqual({
      metadata: { uid: 'u', annotations: { JobID: '7' } },
    });
    expect(podStatusPatch(podOf(before, { JobID: '7' }), before, { JobID: '7' })).toBeUndefined();
  });
});
