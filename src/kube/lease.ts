import type { Lease } from 'kubernetes-types/coordination/v1';
import { type Clock, rfc3339Micro } from '../base/clock.ts';
import { isKind } from '../base/errors.ts';
import { LEASES } from './kinds.ts';
import type { KubeClient } from './kube-client.ts';

export interface NodeLeaseOptions {
  readonly nodeName: string;
  readonly durationSeconds: number;
}

const NAMESPACE = 'kube-node-lease';

/** The sign of life of a node: an object that the control plane looks at instead of the node's status. */
export class NodeLease {
  readonly #kube: KubeClient;
  readonly #clock: Clock;
  readonly #options: NodeLeaseOptions;
  #last: Lease | undefined;

  constructor(deps: { readonly kube: KubeClient; readonly clock: Clock }, options: NodeLeaseOptions) {
    this.#kube = deps.kube;
    this.#clock = deps.clock;
    this.#options = options;
  }

  /**
   * Writes the time of now, making the Lease when there is none, so that it belongs to the Node with `nodeUid` and goes with it. Reads only when its
   * last write is not the current state.
   * @throws the errors of KubeClient; Conflict only when somebody else writes the Lease all the time.
   */
  async renew(nodeUid: string, signal: AbortSignal): Promise<void> {
    const { nodeName } = this.#options;
    const ref = { namespace: NAMESPACE, name: nodeName };
    try {
      if (this.#last !== undefined) {
        this.#last = await this.#kube.replace(LEASES, ref, this.#renewed(this.#last, nodeUid), { signal });
        return;
      }
    } catch (error) {
      if (!isKind(error, 'Conflict', 'NotFound')) throw error;
      this.#last = undefined;
    }
    let current: Lease;
    try {
      current = await this.#kube.get(LEASES, ref, { signal });
    } catch (error) {
      if (!isKind(error, 'NotFound')) throw error;
      const body = this.#renewed({ metadata: { name: nodeName, namespace: NAMESPACE } }, nodeUid);
      this.#last = await this.#kube.create(LEASES, { namespace: NAMESPACE }, body, { signal });
      return;
    }
    this.#last = await this.#kube.replace(LEASES, ref, this.#renewed(current, nodeUid), { signal });
  }

  #renewed(lease: Lease, nodeUid: string): Lease {
    const { nodeName, durationSeconds } = this.#options;
    return {
      ...lease,
      apiVersion: 'coordination.k8s.io/v1',
      kind: 'Lease',
      metadata: {
        ...lease.metadata,
        ownerReferences: [{ apiVersion: 'v1', kind: 'Node', name: nodeName, uid: nodeUid }],
      },
      spec: {
        ...lease.spec,
        holderIdentity: nodeName,
        leaseDurationSeconds: durationSeconds,
        renewTime: rfc3339Micro(this.#clock.nowMs()),
      },
    };
  }
}
