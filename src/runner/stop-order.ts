import type { Pod } from '../kube/types.ts';
import { initRole } from './container-role.ts';

/**
 * Who has to outlive whom when the pod is stopped: a sidecar the main containers and the sidecars after it. Everybody else need not wait.
 * @see https://github.com/kubernetes/kubernetes/blob/v1.36.3/pkg/kubelet/kuberuntime/kuberuntime_termination_order.go
 */
export class StopOrder {
  readonly #mains: readonly string[];
  readonly #sidecars: readonly string[];
  readonly #begun = new Map<string, Promise<unknown>>();

  constructor({ spec }: Pod) {
    this.#mains = (spec?.containers ?? []).map(({ name }) => name);
    this.#sidecars = (spec?.initContainers ?? []).filter((one) => initRole(one) === 'sidecar').map(({ name }) => name);
  }

  /** Notes a container that has been taken up, until it has ended for good. */
  add(name: string, end: Promise<unknown>): void {
    this.#begun.set(name, end);
  }

  /** Resolves when all that have been taken up by now and that this container has to outlive have ended. */
  async turnOf(name: string): Promise<void> {
    const own = this.#sidecars.indexOf(name);
    if (own < 0) return;
    const before = [...this.#mains, ...this.#sidecars.slice(own + 1)];
    await Promise.allSettled(before.map((one) => this.#begun.get(one)));
  }
}
