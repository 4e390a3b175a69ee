import { parseQuantity, type Quantity } from '../kube/quantity.ts';
import type { Container, Pod } from '../kube/types.ts';

/**
 * What a pod needs as a whole, by resource name: all containers and native sidecars run at once, init containers one after the other beside the native
 * sidecars that came before them. A container counts with its limit, else its request: a job that holds less than the limit would be killed below it.
 *
 * @see https://kubernetes.io/docs/concepts/workloads/pods/sidecar-containers/#resource-sharing-within-containers
 */
export function podResources(pod: Pod): ReadonlyMap<string, Quantity> {
  const { containers = [], initContainers = [], overhead = {} } = pod.spec ?? {};
  const total = new Map<string, Quantity>();
  const peak = new Map<string, Quantity>();
  const sidecars = new Map<string, Quantity>();
  for (const container of initContainers) {
    const needs = containerNeeds(container);
    if ((container as { restartPolicy?: string }).restartPolicy === 'Always') {
      add(sidecars, needs);
      raise(peak, sidecars);
    } else {
      const together = new Map(sidecars);
      add(together, needs);
      raise(peak, together);
    }
  }
  add(total, sidecars);
  for (const container of containers) add(total, containerNeeds(container));
  raise(total, peak);
  // What the pod as a whole asks for counts instead of its containers' sum.
  const ofPod = (pod.spec as Pick<Container, 'resources'> | undefined)?.resources;
  for (const [name, quantity] of containerNeeds({ name: '', ...(ofPod && { resources: ofPod }) }))
    total.set(name, quantity);
  add(total, new Map(Object.entries(overhead).map(([name, text]) => [name, parseQuantity(text)])));
  return total;
}

function containerNeeds({ resources }: Container): ReadonlyMap<string, Quantity> {
  const needs = { ...resources?.requests, ...resources?.limits };
  return new Map(Object.entries(needs).map(([name, text]) => [name, parseQuantity(text)]));
}

function add(sum: Map<string, Quantity>, more: ReadonlyMap<string, Quantity>): void {
  for (const [name, quantity] of more) sum.set(name, (sum.get(name) ?? 0n) + quantity);
}

function raise(sum: Map<string, Quantity>, least: ReadonlyMap<string, Quantity>): void {
  for (const [name, quantity] of least) if (quantity > (sum.get(name) ?? 0n)) sum.set(name, quantity);
}
