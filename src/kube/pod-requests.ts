import { isSidecar } from './pod-phase.ts';
import { parseQuantity, type Quantity } from './quantity.ts';
import type { Container, Pod } from './types.ts';

/** Resource name → quantity. */
export type Requests = ReadonlyMap<string, Quantity>;

/**
 * What the pod as a whole asks of a node: containers and sidecars together, or the largest init container with the sidecars before it if that is
 * more; pod-level requests instead where there are any; overhead on top.
 *
 * @throws Invalid for a quantity that is none
 * @see https://github.com/kubernetes/kubernetes/blob/v1.36.3/staging/src/k8s.io/component-helpers/resource/helpers.go PodRequests
 */
export function podRequests(pod: Pod): Requests {
  const { initContainers = [], containers = [], overhead = {} } = pod.spec ?? {};
  const total = new Map<string, Quantity>();
  for (const container of containers) add(total, requestsOf(container));
  const sidecars = new Map<string, Quantity>();
  const largest = new Map<string, Quantity>();
  for (const container of initContainers) {
    const own = requestsOf(container);
    if (isSidecar(container)) {
      add(total, own);
      add(sidecars, own);
      raise(largest, sidecars);
    } else {
      const together = new Map(sidecars);
      add(together, own);
      raise(largest, together);
    }
  }
  raise(total, largest);
  const podLevel = (pod.spec as { resources?: { requests?: Record<string, string> } } | undefined)?.resources?.requests;
  for (const [name, quantity] of parsed(podLevel)) total.set(name, quantity);
  add(total, parsed(overhead));
  return total;
}

function requestsOf({ resources = {} }: Container): Requests {
  return parsed({ ...resources.limits, ...resources.requests });
}

function parsed(list: Readonly<Record<string, string>> | undefined): Requests {
  return new Map(Object.entries(list ?? {}).map(([name, text]) => [name, parseQuantity(text)]));
}

function add(to: Map<string, Quantity>, more: Requests): void {
  for (const [name, quantity] of more) to.set(name, (to.get(name) ?? 0n) + quantity);
}

function raise(to: Map<string, Quantity>, other: Requests): void {
  for (const [name, quantity] of other) if (quantity > (to.get(name) ?? 0n)) to.set(name, quantity);
}
