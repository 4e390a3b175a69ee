import { isDeepStrictEqual } from 'node:util';
import { isWrittenByNode } from '../kube/pod-conditions.ts';
import type { Pod, PodCondition, PodStatusFields } from '../kube/types.ts';

/** Fields of a pod's status that a node writes; all others belong to somebody else. */
const OWNED_FIELDS = [
  'phase',
  'reason',
  'message',
  'hostIP',
  'podIP',
  'startTime',
  'observedGeneration',
  'containerStatuses',
  'initContainerStatuses',
] as const satisfies (keyof PodStatusFields)[];

/** Lists that a strategic merge would add to instead of replacing them. */
const REPLACED_LISTS = ['hostIPs', 'podIPs'] as const satisfies (keyof PodStatusFields)[];

type Json = Record<string, unknown>;

/** The part of a status that a node writes, comparable with `isDeepStrictEqual`. */
export function ownedStatus(status: PodStatusFields): Json {
  const owned: Json = {};
  for (const field of [...OWNED_FIELDS, ...REPLACED_LISTS])
    if (status[field] !== undefined) owned[field] = status[field];
  owned.conditions = ownedConditions(status).map(withoutNulls);
  return owned;
}

/**
 * The strategic merge patch for `pods/status` that makes the node's part of the status what `wanted` says and touches nothing else, with the UID, so
 * that a pod made anew under the same name refuses it. Undefined when there is nothing to change.
 *
 * @param annotations values that the pod shall have; a status patch can carry them
 */
export function podStatusPatch(
  pod: Pod,
  wanted: PodStatusFields,
  annotations: Readonly<Record<string, string>> = {},
): Json | undefined {
  const before = pod.status ?? {};
  const status: Json = {};
  for (const field of OWNED_FIELDS)
    if (!isDeepStrictEqual(before[field], wanted[field])) status[field] = wanted[field] ?? null;
  for (const field of REPLACED_LISTS)
    if (!isDeepStrictEqual(before[field], wanted[field]))
      status[field] = [{ $patch: 'replace' }, ...(wanted[field] ?? [])];
  const conditions = conditionsPatch(ownedConditions(before), ownedConditions(wanted));
  if (conditions.length > 0) status.conditions = conditions;

  const missing = Object.entries(annotations).filter(([key, value]) => pod.metadata?.annotations?.[key] !== value);
  if (Object.keys(status).length === 0 && missing.length === 0) return undefined;
  return {
    metadata: {
      uid: pod.metadata?.uid,
      ...(missing.length === 0 ? {} : { annotations: Object.fromEntries(missing) }),
    },
    ...(Object.keys(status).length === 0 ? {} : { status }),
  };
}

function conditionsPatch(before: readonly PodCondition[], wanted: readonly PodCondition[]): Json[] {
  const changes: Json[] = [];
  for (const condition of wanted) {
    const old = before.find(({ type }) => type === condition.type);
    if (old && isDeepStrictEqual(withoutNulls(old), withoutNulls(condition))) continue;
    // A merge keeps what it is not told to drop: the reason of the last verdict, say.
    const dropped = Object.keys(old ?? {}).filter((key) => !(key in condition));
    changes.push({ ...Object.fromEntries(dropped.map((key) => [key, null])), ...condition });
  }
  for (const { type } of before)
    if (!wanted.some((condition) => condition.type === type)) changes.push({ type, $patch: 'delete' });
  return changes;
}

function ownedConditions({ conditions = [] }: PodStatusFields): PodCondition[] {
  return conditions.filter(isWrittenByNode);
}

/** The API server writes `lastProbeTime: null` where nothing is set. */
function withoutNulls(condition: PodCondition): Json {
  return Object.fromEntries(Object.entries(condition).filter(([, value]) => value !== null && value !== undefined));
}
