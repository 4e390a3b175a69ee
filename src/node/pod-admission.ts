import type { ResourceList } from '../kube/container-resource.ts';
import { podRequests, type Requests } from '../kube/pod-requests.ts';
import { dividedBy, parseQuantity, type Quantity } from '../kube/quantity.ts';
import type { Pod } from '../kube/types.ts';

/** Why a pod cannot be on this node, in the kubelet's words. */
export interface Rejection {
  /** `OutOfcpu`, `OutOfpods` … */
  readonly reason: string;
  readonly message: string;
}

const WHOLE = 1_000_000_000n;
const MILLI = 1_000_000n;
/** The order in which a kubelet looks. */
const FIRST = ['cpu', 'memory', 'ephemeral-storage'];

/**
 * Counts what the pods of the node ask for, so that a pod that was bound here past the scheduler does not get what the node does not have.
 *
 * @see https://github.com/kubernetes/kubernetes/blob/v1.36.3/pkg/kubelet/lifecycle/predicate.go
 */
export class PodAdmission {
  readonly #pods = new Map<string, Requests>();
  readonly #used = new Map<string, Quantity>();

  /**
   * Counts the pod if there is room for it. One that was counted before, or runs already (`force`), always has.
   * @param allocatable what the node offers; resources that it does not name are not looked at
   */
  admit(pod: Pod, allocatable: ResourceList, force = false): Rejection | undefined {
    const uid = pod.metadata?.uid ?? '';
    if (this.#pods.has(uid)) return undefined;
    const requests = podRequests(pod);
    const rejection = force ? undefined : this.#judge(requests, allocatable);
    if (rejection) return rejection;
    this.#pods.set(uid, requests);
    for (const [name, quantity] of requests) this.#used.set(name, (this.#used.get(name) ?? 0n) + quantity);
    return undefined;
  }

  /** Gives back what the pod had; does nothing for one that was not counted. */
  release(uid: string): void {
    const requests = this.#pods.get(uid);
    if (!requests) return;
    this.#pods.delete(uid);
    for (const [name, quantity] of requests) this.#used.set(name, (this.#used.get(name) ?? 0n) - quantity);
  }

  #judge(requests: Requests, allocatable: ResourceList): Rejection | undefined {
    const { pods } = allocatable;
    if (pods !== undefined && BigInt(this.#pods.size) + 1n > dividedBy(parseQuantity(pods), WHOLE))
      return rejectionOf('pods', 1n, BigInt(this.#pods.size), dividedBy(parseQuantity(pods), WHOLE));
    const others = [...requests.keys()].filter((name) => !FIRST.includes(name)).sort();
    for (const name of [...FIRST, ...others]) {
      const offered = allocatable[name];
      const requested = requests.get(name) ?? 0n;
      // What a node does not name is a resource of the cluster, not of the node.
      if (offered === undefined || requested === 0n) continue;
      const capacity = parseQuantity(offered);
      const used = this.#used.get(name) ?? 0n;
      if (requested <= capacity - used) continue;
      const unit = name === 'cpu' ? MILLI : WHOLE;
      return rejectionOf(name, dividedBy(requested, unit), dividedBy(used, unit), dividedBy(capacity, unit));
    }
    return undefined;
  }
}

function rejectionOf(resource: string, requested: bigint, used: bigint, capacity: bigint): Rejection {
  return {
    reason: `OutOf${resource}`,
    message: `Node didn't have enough resource: ${resource}, requested: ${requested}, used: ${used}, capacity: ${capacity}`,
  };
}
