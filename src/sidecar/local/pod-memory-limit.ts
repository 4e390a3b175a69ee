import { wholeUnits } from '../../kube/quantity.ts';
import type { Pod } from '../../kube/types.ts';
import { podResources } from '../pod-resources.ts';

/**
 * Bytes that the containers of a pod may have together: the sum of their limits, as a pod's cgroup has it on a kubelet; undefined when a container
 * has no limit, as then the pod has none.
 */
export function podMemoryLimit(pod: Pod): number | undefined {
  const { containers = [], initContainers = [] } = pod.spec ?? {};
  if ([...containers, ...initContainers].some(({ resources }) => resources?.limits?.memory === undefined))
    return undefined;
  const memory = podResources(pod).get('memory');
  return memory === undefined ? undefined : wholeUnits(memory);
}
