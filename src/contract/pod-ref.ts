import { InterlinkError } from '../base/errors.ts';
import type { Pod } from '../kube/types.ts';

/** Identity of a pod. The UID alone is the key on every hop; namespace and name are for people. */
export interface PodRef {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
}

/** UIDs name directories and jobs, so the alphabet is closed. Real ones are UUIDs; static pods have 32 hex digits. */
const UID = /^[A-Za-z0-9][A-Za-z0-9-]{0,63}$/;
const NAMESPACE = /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/;
const POD_NAME = /^[a-z0-9]([-.a-z0-9]{0,251}[a-z0-9])?$/;

/**
 * The identity of a pod from its metadata.
 * @throws Invalid when namespace, name or UID is missing or could not be part of a path.
 */
export function podRefOf(pod: Pod): PodRef {
  const { namespace = 'default', name, uid } = pod.metadata ?? {};
  return parsePodRef(namespace, name, uid);
}

/** @throws Invalid as {@link podRefOf}. */
export function parsePodRef(namespace: unknown, name: unknown, uid: unknown): PodRef {
  if (typeof namespace !== 'string' || !NAMESPACE.test(namespace))
    throw new InterlinkError('Invalid', `pod has no valid metadata.namespace: ${JSON.stringify(namespace)}`);
  if (typeof name !== 'string' || !POD_NAME.test(name))
    throw new InterlinkError('Invalid', `pod has no valid metadata.name: ${JSON.stringify(name)}`);
  if (typeof uid !== 'string' || !UID.test(uid))
    throw new InterlinkError('Invalid', `pod ${namespace}/${name} has no valid metadata.uid: ${JSON.stringify(uid)}`);
  return { namespace, name, uid };
}
