import { expandReferences } from '../kube/expansion.ts';
import type { Container } from '../kube/types.ts';

/**
 * The pod's own variables of one container in order, names unique: of two entries with a name the later one counts. The bundle has resolved everything but
 * `status.podIP` and `status.podIPs`; values after the first of these are expanded here, those before it are literal.
 *
 * @see PodBundle
 */
export function containerEnvironment(container: Container, podIP: string): ReadonlyMap<string, string> {
  const values = new Map<string, string>();
  let late = false;
  for (const { name, value = '', valueFrom } of container.env ?? []) {
    if (valueFrom?.fieldRef !== undefined) {
      late = true;
      values.set(name, podIP);
    } else {
      values.set(name, late ? expandReferences(value, (other) => values.get(other)) : value);
    }
  }
  return values;
}
