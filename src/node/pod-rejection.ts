import { derivePodStatus } from '../contract/derive-pod-status.ts';
import { OWNED_CONDITIONS } from '../kube/pod-conditions.ts';
import type { Pod, PodStatusFields } from '../kube/types.ts';
import type { Rejection } from './pod-admission.ts';

/** Status of a pod that the node does not take: without containers, addresses and the node's conditions, as a kubelet writes it. */
export function rejectedPodStatus(pod: Pod, { reason, message }: Rejection, nowMs: number): PodStatusFields {
  const derived = derivePodStatus(pod, undefined, { nowMs, hostIPs: [], over: true, failure: { reason, message } });
  const { containerStatuses: _c, initContainerStatuses: _i, conditions = [], ...rest } = derived;
  return {
    ...rest,
    message: `Pod was rejected: ${message}`,
    conditions: conditions.filter(({ type }) => !OWNED_CONDITIONS.includes(type)),
  };
}
