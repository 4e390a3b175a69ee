import { isDeepStrictEqual } from 'node:util';
import { rfc3339 } from '../base/clock.ts';
import { parseQuantity } from '../kube/quantity.ts';
import type { Node, NodeCondition, Taint } from '../kube/types.ts';
import type { WantedNode } from './node-object.ts';

/** Names of what interlink put on the Node, so that it can be taken away again, also by a later process; everything else is others'. */
interface Managed {
  readonly labels: readonly string[];
  /** `key:effect`. */
  readonly taints: readonly string[];
  readonly resources: readonly string[];
}

const MANAGED = 'virtual-node.interlink/managed';

/** The Node to create when there is none; with its status, so that it is usable by one request. */
export function newNode(name: string, wanted: WantedNode, nowMs: number): Node {
  return {
    apiVersion: 'v1',
    kind: 'Node',
    metadata: { name, labels: { ...wanted.labels }, annotations: { [MANAGED]: managedText(wanted, {}) } },
    spec: { taints: [...wanted.taints], providerID: `interlink://${name}` },
    status: {
      capacity: { ...wanted.resources },
      allocatable: { ...wanted.resources },
      conditions: conditions(wanted, undefined, nowMs),
      addresses: wanted.addresses.map((address) => ({ ...address })),
      daemonEndpoints: { kubeletEndpoint: { Port: wanted.kubeletPort } },
      nodeInfo: wanted.nodeInfo,
    },
  };
}

/** Merge patch for labels and our annotation, or undefined when they are right. */
export function metadataPatch(node: Node, wanted: WantedNode): unknown {
  const { labels = {}, annotations = {} } = node.metadata ?? {};
  const managed = managedOf(node);
  const changes: Record<string, string | null> = {};
  for (const [name, value] of Object.entries(wanted.labels)) if (labels[name] !== value) changes[name] = value;
  for (const name of managed.labels) if (name in labels && !(name in wanted.labels)) changes[name] = null;
  const text = managedText(wanted, node);
  const annotation = annotations[MANAGED] === text ? {} : { annotations: { [MANAGED]: text } };
  const label = Object.keys(changes).length === 0 ? {} : { labels: changes };
  const metadata = { ...label, ...annotation };
  return Object.keys(metadata).length === 0 ? undefined : { metadata };
}

/**
 * Merge patch for the taints, or undefined when they are right. It holds the version that it was made for, so that a taint which somebody adds at the
 * same moment is not lost.
 */
export function taintPatch(node: Node, wanted: WantedNode): unknown {
  const now = node.spec?.taints ?? [];
  const ours = new Set([...managedOf(node).taints, ...wanted.taints.map(taintId)]);
  const kept = now.filter((taint) => !ours.has(taintId(taint)));
  const plain = ({ key, value, effect }: Taint): unknown => [key, value ?? '', effect];
  const ourNow = now.filter((taint) => ours.has(taintId(taint))).map(plain);
  const sorted = (list: unknown[]): string[] => list.map((item) => JSON.stringify(item)).sort();
  if (isDeepStrictEqual(sorted(ourNow), sorted(wanted.taints.map(plain)))) return undefined;
  return {
    metadata: { resourceVersion: node.metadata?.resourceVersion },
    spec: { taints: [...kept, ...wanted.taints] },
  };
}

/** Strategic merge patch for the status; undefined when it is right and `force` is not set. Times of transitions are kept. */
export function statusPatch(node: Node, wanted: WantedNode, nowMs: number, force: boolean): unknown {
  const { status = {} } = node;
  const gone = managedOf(node).resources.filter((name) => !(name in wanted.resources));
  const right =
    sameResources(status.capacity, wanted.resources, gone) &&
    sameResources(status.allocatable, wanted.resources, gone) &&
    isDeepStrictEqual(status.addresses ?? [], wanted.addresses) &&
    status.daemonEndpoints?.kubeletEndpoint?.Port === wanted.kubeletPort &&
    Object.entries(wanted.nodeInfo).every(([key, value]) => Object(status.nodeInfo)[key] === value) &&
    wanted.conditions.every((want) => {
      const have = status.conditions?.find(({ type }) => type === want.type);
      return have?.status === want.status && have.reason === want.reason && have.message === want.message;
    });
  if (right && !force) return undefined;
  const resources = { ...wanted.resources, ...Object.fromEntries(gone.map((name) => [name, null])) };
  return {
    status: {
      capacity: resources,
      allocatable: resources,
      conditions: conditions(wanted, status.conditions, nowMs),
      // Merging by type, as the schema says, would double addresses of one type.
      addresses: [{ $patch: 'replace' }, ...wanted.addresses],
      daemonEndpoints: { kubeletEndpoint: { Port: wanted.kubeletPort } },
      nodeInfo: wanted.nodeInfo,
    },
  };
}

function conditions(wanted: WantedNode, now: readonly NodeCondition[] | undefined, nowMs: number): NodeCondition[] {
  const time = rfc3339(nowMs);
  return wanted.conditions.map((want) => {
    const have = now?.find(({ type }) => type === want.type);
    const since = have?.status === want.status ? have.lastTransitionTime : undefined;
    return { ...want, lastHeartbeatTime: time, lastTransitionTime: since ?? time };
  });
}

function sameResources(
  have: Readonly<Record<string, string>> | undefined,
  wanted: Readonly<Record<string, string>>,
  gone: readonly string[],
): boolean {
  return (
    gone.every((name) => have?.[name] === undefined) &&
    Object.entries(wanted).every(([name, text]) => {
      const now = have?.[name];
      // The server rewrites quantities (1024Mi becomes 1Gi).
      return now !== undefined && (now === text || parseQuantity(now) === parseQuantity(text));
    })
  );
}

function taintId({ key, effect }: Taint): string {
  return `${key}:${effect}`;
}

/** Names stay in the list until they have left the Node, so that a crash between two patches forgets nothing. */
function managedText(wanted: WantedNode, node: Node): string {
  const before = managedOf(node);
  const taints = new Set((node.spec?.taints ?? []).map(taintId));
  const union = (wantedNames: readonly string[], old: readonly string[], there: (name: string) => boolean): string[] =>
    [...new Set([...wantedNames, ...old.filter(there)])].sort();
  const managed: Managed = {
    labels: union(Object.keys(wanted.labels), before.labels, (name) => name in (node.metadata?.labels ?? {})),
    taints: union(wanted.taints.map(taintId), before.taints, (id) => taints.has(id)),
    resources: union(Object.keys(wanted.resources), before.resources, (name) => name in (node.status?.capacity ?? {})),
  };
  return JSON.stringify(managed);
}

function managedOf(node: Node): Managed {
  const empty: Managed = { labels: [], taints: [], resources: [] };
  const text = node.metadata?.annotations?.[MANAGED];
  if (text === undefined) return empty;
  let value: Record<string, unknown>;
  try {
    value = Object(JSON.parse(text));
  } catch {
    // Edited by hand: nothing is known to be ours beyond what is wanted, and the annotation is written anew.
    return empty;
  }
  const names = (key: keyof Managed): string[] => {
    const list = value[key];
    return Array.isArray(list) ? list.filter((name): name is string => typeof name === 'string') : [];
  };
  return { labels: names('labels'), taints: names('taints'), resources: names('resources') };
}
