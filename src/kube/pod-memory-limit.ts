import { isSidecar } from './pod-phase.ts';
import { parseQuantity, wholeUnits } from './quantity.ts';
import type { Container, Pod } from './types.ts';

/**
 * Bytes of memory that the containers of a pod may have together at any time; undefined as long as one of them has no limit.
 *
 * @throws Invalid for a limit that is no quantity
 * @see https://github.com/kubernetes/kubernetes/blob/v1.36.3/pkg/kubelet/cm/helpers_linux.go ResourceConfigForPod
 */
export function podMemoryLimit({ spec }: Pod): number | undefined {
  const podLevel = (spec as { resources?: { limits?: Record<string, string> } } | undefined)?.resources?.limits?.memory;
  if (podLevel !== undefined) return wholeUnits(parseQuantity(podLevel));
  const { initContainers = [], containers = [] } = spec ?? {};
  const limits = [...initContainers, ...containers].map(limitOf);
  if (limits.length === 0 || limits.includes(undefined)) return undefined;
  const sum = (list: readonly Container[]): number => list.reduce((bytes, one) => bytes + (limitOf(one) ?? 0), 0);
  const alone = initContainers.filter((one) => !isSidecar(one)).map((one) => limitOf(one) ?? 0);
  return Math.max(sum(containers), ...alone) + sum(initContainers.filter(isSidecar));
}

function limitOf({ resources }: Container): number | undefined {
  const text = resources?.limits?.memory;
  return text === undefined ? undefined : wholeUnits(parseQuantity(text));
}
