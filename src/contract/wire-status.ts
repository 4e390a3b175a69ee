import { InterlinkError } from '../base/errors.ts';
import type { ContainerStatus, Pod } from '../kube/types.ts';
import { legacyStatus } from './legacy-status.ts';
import { parsePodRef } from './pod-ref.ts';
import type { PodEvent, PodStatus, SandboxState } from './pod-status.ts';
import { wireCheck } from './wire-check.ts';
import { canonicalKeys, type JsonObject } from './wire-keys.ts';
import { podStatusSchema } from './wire-schemas.ts';

const KEYS = [
  'name',
  'UID',
  'namespace',
  'JID',
  'containers',
  'initContainers',
  'sandbox',
  'podIP',
  'NodeName',
] as const;

/** One pod's status on the wire, the same on both hops; everything from `sandbox` on is ours and ignored by others. */
export const wireStatus = {
  encode(status: PodStatus): JsonObject {
    const { name, uid, namespace, jobId, nodeName, containers, initContainers, ...ours } = status;
    return {
      name,
      UID: uid,
      namespace,
      JID: jobId ?? '',
      containers,
      initContainers,
      ...(nodeName === undefined ? {} : { NodeName: nodeName }),
      ...ours,
    };
  },

  /**
   * The statuses in the answer of a peer, for which `pods` were asked. `null` is no news. An element without a name, UID or container says nothing
   * and is left out; what an existing plugin does not say is derived from the pod.
   * @throws Invalid naming the path of the fault.
   */
  decodeList(value: unknown, pods: readonly Pod[]): readonly PodStatus[] {
    if (value === null) return [];
    if (!Array.isArray(value))
      throw new InterlinkError('Invalid', 'status answer: expected a list', { code: 'wire.invalid' });
    const byUid = new Map(pods.map((pod) => [pod.metadata?.uid ?? '', pod]));
    return value.flatMap((element, index) => wireStatus.decode(element, byUid, `status answer[${index}]`) ?? []);
  },

  /** @throws Invalid naming the path of the fault; undefined when the element says nothing. */
  decode(value: unknown, pods: ReadonlyMap<string, Pod>, path: string): PodStatus | undefined {
    const element = canonicalKeys(value, KEYS, path);
    wireCheck(podStatusSchema, element, path);
    const { name, UID, namespace, JID, NodeName } = element as Record<string, string | null | undefined>;
    if (!name || !UID) return undefined;
    const ref = parsePodRef(namespace, name, UID);
    const containers = (element.containers ?? []) as readonly ContainerStatus[];
    const initContainers = (element.initContainers ?? []) as readonly ContainerStatus[];
    const ids = { ...ref, ...(JID ? { jobId: JID } : {}), ...(NodeName ? { nodeName: NodeName } : {}) };
    if (element.sandbox === undefined) {
      if (containers.length === 0) return undefined;
      return { ...ids, ...legacyStatus(pods.get(UID), containers, initContainers) };
    }
    return {
      ...ids,
      ...present('podIP', element.podIP as string | undefined),
      sandbox: element.sandbox as SandboxState,
      ...present('virtualNode', element.virtualNode as string | undefined),
      ...present('startTime', element.startTime as string | undefined),
      ...present('phase', element.phase as 'Failed' | undefined),
      ...present('reason', element.reason as string | undefined),
      ...present('message', element.message as string | undefined),
      containers,
      initContainers,
      ...present('events', element.events as readonly PodEvent[] | undefined),
    };
  },
};

function present<K extends string, V>(key: K, value: V | undefined): { readonly [P in K]?: V } {
  return value === undefined ? {} : ({ [key]: value } as { readonly [P in K]?: V });
}
