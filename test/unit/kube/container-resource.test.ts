import { describe, expect, it } from 'vitest';
import { containerResourceValue } from '../../../src/kube/container-resource.ts';

const container = {
  name: 'c',
  resources: {
    limits: { cpu: '150m', memory: '33Mi', 'hugepages-2Mi': '4Mi' },
    requests: { cpu: '1e-1', memory: '1500', 'ephemeral-storage': '1.5Gi' },
  },
};
const allocatable = { cpu: '64', memory: '256Gi', 'ephemeral-storage': '1Ti' };

describe('containerResourceValue', () => {
  it.each([
    ['limits.cpu', '1', '1'],
    ['limits.cpu', undefined, '1'],
    ['limits.cpu', '0', '1'],
    ['limits.cpu', '1m', '150'],
    ['limits.memory', '1M', '35'],
    ['limits.memory', '1Mi', '33'],
    ['limits.memory', undefined, '34603008'],
    ['requests.cpu', '1m', '100'],
    ['requests.memory', '1k', '2'],
    ['requests.ephemeral-storage', '1Gi', '2'],
    ['limits.hugepages-2Mi', '1Mi', '4'],
    ['requests.hugepages-2Mi', undefined, '0'],
    ['limits.ephemeral-storage', '1Gi', '1024'],
  ])('gives %s in units of %s rounded up', (resource, divisor, expected) => {
    expect(containerResourceValue(container, resource, divisor, allocatable)).toBe(expected);
  });

  it('takes what the node offers for a missing or zero limit, 0 for a missing request', () => {
    expect(containerResourceValue({ name: 'c' }, 'limits.cpu', '1', allocatable)).toBe('64');
    expect(
      containerResourceValue(
        { name: 'c', resources: { limits: { memory: '0' } } },
        'limits.memory',
        '1Gi',
        allocatable,
      ),
    ).toBe('256');
    expect(containerResourceValue({ name: 'c' }, 'requests.memory', undefined, allocatable)).toBe('0');
  });

  it.each(['limits.nvidia.com/gpu', 'cpu', 'limits.', 'capacity.cpu'])('refuses %s', (resource) => {
    expect(() => containerResourceValue(container, resource, undefined, allocatable)).toThrow(
      `unsupported container resource : ${resource}`,
    );
  });
});
