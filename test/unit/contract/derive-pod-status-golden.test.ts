import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { derivePodStatus } from '../../../src/contract/derive-pod-status.ts';
import type { PodStatus, SandboxState } from '../../../src/contract/pod-status.ts';
import { defaultPod } from '../../../src/kube/default-pod.ts';
import { parseManifest } from '../../../src/kube/manifest.ts';
import type { ContainerState, ContainerStatus, Pod, PodStatusFields } from '../../../src/kube/types.ts';

/**
 * The statuses that a real kubelet wrote, one after the other, are made again from what a site would say at that moment. `test/parity/README.md` says
 * how they were recorded.
 */
const PARITY = new URL('../../parity/', import.meta.url);

interface GoldenState {
  kind: 'waiting' | 'running' | 'terminated';
  reason?: string;
  message?: string;
  exitCode?: number;
  has_startedAt?: boolean;
}
interface GoldenContainer {
  state: GoldenState;
  lastState?: GoldenState;
  ready: boolean;
  started?: boolean;
  restartCount: number;
  image: string;
  has_containerID: boolean;
  has_imageID: boolean;
  volumeMounts?: [string, string, boolean][];
  resources?: unknown;
  allocatedResources?: unknown;
}
interface GoldenCondition {
  type: string;
  status: string;
  reason?: string;
  message?: string;
}
interface Snapshot {
  phase: string;
  reason?: string;
  message?: string;
  conditions: GoldenCondition[];
  has_podIP: boolean;
  init?: Record<string, GoldenContainer>;
  initOrder?: string[];
  containers?: Record<string, GoldenContainer>;
  containersOrder?: string[];
  deleting?: { grace: number };
  generationsBehind?: number;
}

const T0 = Date.UTC(2026, 10, 25, 10);
const at = (seconds: number): string => new Date(T0 + seconds * 1000).toISOString().replace('.000', '.123');

/** What these cases are about is not written by this function: ephemeral containers, sizes changed while running. */
const LEFT_OUT = /^(170|172)-/;

const cases = readdirSync(new URL('expected/', PARITY))
  .map((file) => file.replace('.json', ''))
  .filter((name) => !LEFT_OUT.test(name));

describe('derivePodStatus', () => {
  it.each(cases)('writes what a kubelet wrote in parity case %s', (name) => {
    const expected = JSON.parse(readFileSync(new URL(`expected/${name}.json`, PARITY), 'utf8')) as {
      pods: Record<string, { snapshots: Snapshot[] }>;
    };
    const manifest = readFileSync(new URL(`cases/${name}/pod.yaml`, PARITY), 'utf8');
    const objects = parseManifest(manifest, 'pod.yaml').map(({ object }) => object);
    for (const [key, { snapshots }] of Object.entries(expected.pods)) {
      const [podName] = key.split('#');
      const found = objects.find(
        ({ kind, metadata }) => kind === 'Pod' && (metadata as { name: string }).name === podName,
      );
      // Created anew by a step of the case: the same containers.
      const spec = defaultPod((found ?? objects.find(({ kind }) => kind === 'Pod')) as Pod).spec;
      replay(`${name} ${key}`, { metadata: { name: 'p', namespace: 'NAMESPACE', uid: 'u' }, spec } as Pod, snapshots);
    }
  });
});

function replay(title: string, pod: Pod, snapshots: readonly Snapshot[]): void {
  let status: PodStatusFields = { phase: 'Pending' };
  let generation = 1;
  let deleting = false;
  snapshots.forEach((snapshot, index) => {
    if (snapshot.deleting && !deleting) {
      deleting = true;
      generation += 1;
    }
    // Not written by the kubelet: the API server's, the scheduler's, the deletion before the kubelet answers it, a rejected pod.
    if (!snapshot.containers || snapshot.generationsBehind) return;
    const foreign = snapshot.conditions.filter(({ type }) => type.includes('/'));
    if (foreign.length > (status.conditions ?? []).filter(({ type }) => type.includes('/')).length) {
      // Somebody else sets a condition; what the kubelet makes of it comes with its next status.
      status = { ...status, conditions: [...foreign, ...(status.conditions ?? [])] };
      return;
    }
    const now: Pod = { ...pod, metadata: { ...pod.metadata, generation }, spec: withMounts(pod, snapshot), status };
    const { site, over } = siteOf(now, snapshot);
    status = derivePodStatus(now, site, { nowMs: T0 + index * 1000, hostIPs: ['10.0.0.1'], over });
    expect(shown(status), `${title}, status ${index}`).toEqual(wanted(snapshot));
    expect(status.observedGeneration).toBe(generation);
    expect(status.hostIP).toBe('10.0.0.1');
    // The API server keeps what it is given: the same question has the same answer, also later.
    const again = derivePodStatus({ ...now, status: structuredClone(status) }, site, {
      nowMs: T0 + 999_999_000,
      hostIPs: ['10.0.0.1'],
      over,
    });
    expect(again, `${title}, status ${index} again`).toEqual(status);
  });
}

function siteOf(pod: Pod, snapshot: Snapshot): { site: PodStatus | undefined; over: boolean } {
  const final = snapshot.phase === 'Succeeded' || snapshot.phase === 'Failed';
  const isReady = snapshot.conditions.find(({ type }) => type === 'PodReadyToStartContainers')?.status === 'True';
  const sandbox: SandboxState = final ? 'Gone' : isReady ? 'Ready' : 'Waiting';
  const all = [...Object.values(snapshot.init ?? {}), ...Object.values(snapshot.containers ?? {})];
  // Before the sandbox is there the site may not know the pod, or have nothing to say about its containers.
  if (!all.some(({ has_containerID }) => has_containerID) && sandbox === 'Waiting')
    return { site: undefined, over: false };
  const neverCame = final && all.every(({ state }) => state.reason === 'ContainerStatusUnknown');
  if (neverCame) return { site: undefined, over: true };
  const probed = JSON.stringify(pod.spec).match(/Probe|postStart/) !== null;
  const of = (group: 'init' | 'containers'): ContainerStatus[] =>
    Object.entries(snapshot[group] ?? {}).map(([name, container]) => said(name, container, probed));
  const failedAsWhole =
    snapshot.reason !== undefined ||
    (!final &&
      JSON.stringify(snapshot.conditions).includes('PodFailed') &&
      all.some(({ state }) => state.kind === 'running'));
  return {
    over: false,
    site: {
      namespace: 'NAMESPACE',
      name: 'p',
      uid: 'u',
      sandbox,
      ...(snapshot.has_podIP ? { podIP: '10.1.0.9' } : {}),
      ...(failedAsWhole ? { phase: 'Failed', reason: snapshot.reason, message: snapshot.message } : {}),
      // In another order than that of the spec.
      containers: of('containers').reverse(),
      initContainers: of('init').reverse(),
    } as PodStatus,
  };
}

function said(name: string, golden: GoldenContainer, probed: boolean): ContainerStatus {
  return {
    name,
    state: stateOf(golden.state),
    ...(golden.lastState ? { lastState: stateOf(golden.lastState, 'containerd://0122') } : {}),
    restartCount: golden.restartCount,
    ...(golden.has_containerID ? { containerID: 'containerd://0123' } : {}),
    ...(golden.has_imageID ? { imageID: 'sha256:0123' } : {}),
    // Without probes both follow from the state.
    ...(probed ? { ready: golden.ready, started: golden.started } : {}),
  } as ContainerStatus;
}

function stateOf(
  { kind, reason, message, exitCode, has_startedAt }: GoldenState,
  containerID?: string,
): ContainerState {
  const words = { ...(reason ? { reason } : {}), ...(message ? { message } : {}) };
  if (kind === 'waiting')
    return reason === 'ContainerCreating' || reason === 'PodInitializing' ? {} : { waiting: words };
  if (kind === 'running') return { running: { startedAt: at(10) } };
  const startedAt = reason === 'StartError' ? '1970-01-01T00:00:00Z' : at(10);
  return {
    terminated: {
      exitCode: exitCode ?? 0,
      ...words,
      ...(has_startedAt ? { startedAt, finishedAt: at(20) } : {}),
      ...(containerID ? { containerID } : {}),
    },
  };
}

/** Admission adds the token's mount to each container. */
function withMounts(pod: Pod, snapshot: Snapshot): NonNullable<Pod['spec']> {
  const mounted = (group: Record<string, GoldenContainer> | undefined) => (container: { name: string }) => ({
    ...container,
    volumeMounts: (group?.[container.name]?.volumeMounts ?? []).map(([name, mountPath, readOnly]) => ({
      name,
      mountPath,
      ...(readOnly ? { readOnly } : {}),
    })),
  });
  return {
    ...pod.spec,
    containers: (pod.spec?.containers ?? []).map(mounted(snapshot.containers)),
    ...(pod.spec?.initContainers ? { initContainers: pod.spec.initContainers.map(mounted(snapshot.init)) } : {}),
  } as NonNullable<Pod['spec']>;
}

function shown(status: PodStatusFields): unknown {
  const group = (statuses: ContainerStatus[] | undefined) =>
    statuses?.map((status) => ({
      name: status.name,
      state: golden(status.state),
      lastState: golden(status.lastState),
      ready: status.ready,
      started: status.started,
      restartCount: status.restartCount,
      image: status.image,
      containerID: Boolean(status.containerID),
      imageID: Boolean(status.imageID),
      resources: status.resources,
      allocatedResources: status.allocatedResources,
      volumeMounts: (status.volumeMounts ?? [])
        .map(({ name, mountPath, readOnly }) => [name, mountPath, readOnly ?? false])
        .sort(),
    }));
  return {
    phase: status.phase,
    reason: status.reason,
    message: status.message,
    podIP: Boolean(status.podIP),
    conditions: (status.conditions ?? []).map(({ type, status: value, reason, message }) => ({
      type,
      status: value,
      reason,
      message,
    })),
    init: group(status.initContainerStatuses),
    containers: group(status.containerStatuses),
  };
}

function wanted(snapshot: Snapshot): unknown {
  const group = (order: string[] | undefined, containers: Record<string, GoldenContainer> | undefined) =>
    order?.map((name) => {
      const container = containers?.[name] as GoldenContainer;
      return {
        name,
        state: plain(container.state),
        lastState: plain(container.lastState),
        ready: container.ready,
        started: container.started,
        restartCount: container.restartCount,
        image: container.image,
        containerID: container.has_containerID,
        imageID: container.has_imageID,
        resources: container.resources,
        allocatedResources: container.allocatedResources,
        volumeMounts: (container.volumeMounts ?? []).toSorted(),
      };
    });
  return {
    phase: snapshot.phase,
    reason: snapshot.reason,
    message: snapshot.message,
    podIP: snapshot.has_podIP,
    conditions: snapshot.conditions.map(({ type, status, reason, message }) => ({ type, status, reason, message })),
    init: group(snapshot.initOrder, snapshot.init),
    containers: group(snapshot.containersOrder, snapshot.containers),
  };
}

function golden(state: ContainerState | undefined): unknown {
  const [kind] = Object.keys(state ?? {}) as (keyof ContainerState)[];
  if (!kind) return undefined;
  const { reason, message, exitCode, startedAt, containerID } = (state?.[kind] ?? {}) as Record<string, unknown>;
  return {
    kind,
    reason,
    message,
    exitCode,
    startedAt: startedAt !== undefined,
    containerID: containerID !== undefined,
  };
}

function plain(state: (GoldenState & { has_containerID?: boolean }) | undefined): unknown {
  if (!state) return undefined;
  const { kind, reason, message, exitCode, has_startedAt, has_containerID } = state;
  return { kind, reason, message, exitCode, startedAt: has_startedAt === true, containerID: has_containerID === true };
}
