import { describe, expect, it } from 'vitest';
import { podRequests } from '../../../src/kube/pod-requests.ts';
import { renderQuantity } from '../../../src/kube/quantity.ts';
import type { Pod } from '../../../src/kube/types.ts';
import { PodAdmission } from '../../../src/node/pod-admission.ts';

const requests = (list: Record<string, string>) => ({ resources: { requests: list } });
const podOf = (uid: string, list: Record<string, string>, more: object = {}): Pod => ({
  metadata: { uid },
  spec: { containers: [{ name: 'c', ...requests(list) }], ...more },
});
const shown = (pod: Pod) =>
  Object.fromEntries([...podRequests(pod)].map(([name, value]) => [name, renderQuantity(value)]));

describe('podRequests', () => {
  it('adds up containers and sidecars, takes the largest init container, and overhead on top', () => {
    const pod: Pod = {
      spec: {
        initContainers: [
          { name: 'side', restartPolicy: 'Always', ...requests({ cpu: '100m', memory: '10' }) },
          { name: 'big', ...requests({ cpu: '2', memory: '5' }) },
        ],
        containers: [
          { name: 'a', ...requests({ cpu: '500m', memory: '100' }) },
          { name: 'b', resources: { limits: { cpu: '300m', 'nvidia.com/gpu': '1' } } },
        ],
        overhead: { cpu: '50m' },
      },
    };
    expect(shown(pod)).toEqual({ cpu: '2150m', memory: '110', 'nvidia.com/gpu': '1' });
  });

  it('takes requests of the pod as a whole where there are any', () => {
    expect(shown(podOf('u', { cpu: '1', memory: '7' }, { resources: { requests: { cpu: '3' } } }))).toEqual({
      cpu: '3',
      memory: '7',
    });
  });
});

describe('PodAdmission', () => {
  const allocatable = { cpu: '2', memory: '1Gi', pods: '3', 'nvidia.com/gpu': '1' };

  it.each([
    ['cpu', '2001m', 'requested: 2001, used: 500, capacity: 2000'],
    ['memory', '2Gi', 'requested: 2147483648, used: 0, capacity: 1073741824'],
    ['nvidia.com/gpu', '2', 'requested: 2, used: 0, capacity: 1'],
  ])('rejects a pod that asks for more %s than is left', (name, quantity, numbers) => {
    const admission = new PodAdmission();
    expect(admission.admit(podOf('a', { cpu: '500m' }), allocatable)).toBeUndefined();
    expect(admission.admit(podOf('b', { [name]: quantity }), allocatable)).toEqual({
      reason: `OutOf${name}`,
      message: `Node didn't have enough resource: ${name}, ${numbers}`,
    });
  });

  it('rejects one pod too many and takes it when another has ended', () => {
    const admission = new PodAdmission();
    for (const uid of ['a', 'b', 'c']) expect(admission.admit(podOf(uid, {}), allocatable)).toBeUndefined();
    expect(admission.admit(podOf('d', {}), allocatable)).toMatchObject({
      reason: 'OutOfpods',
      message: "Node didn't have enough resource: pods, requested: 1, used: 3, capacity: 3",
    });
    admission.release('a');
    admission.release('a');
    expect(admission.admit(podOf('d', {}), allocatable)).toBeUndefined();
  });

  it('never rejects a pod that it has counted or that runs already', () => {
    const admission = new PodAdmission();
    const big = podOf('big', { cpu: '64' });
    expect(admission.admit(big, allocatable, true)).toBeUndefined();
    expect(admission.admit(big, allocatable)).toBeUndefined();
    expect(admission.admit(podOf('other', { cpu: '1m' }), allocatable)?.reason).toBe('OutOfcpu');
  });

  it('does not look at resources that the node does not name', () => {
    expect(new PodAdmission().admit(podOf('a', { 'example.org/licence': '9', cpu: '99' }), {})).toBeUndefined();
  });
});
