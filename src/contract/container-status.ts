import { isSidecar } from '../kube/pod-phase.ts';
import type { Container, ContainerState, ContainerStatus, Pod } from '../kube/types.ts';

/** Why containers that have not started wait, where the site has no words of its own. */
export interface WaitingReason {
  readonly reason: string;
  readonly message?: string;
}

/** What the statuses of the containers, or of the init containers, are made of. */
export interface ContainerStatusFacts {
  readonly init: boolean;
  /** What the site says; may be in any order, incomplete or absent. */
  readonly site: readonly ContainerStatus[];
  /** What the API server has. */
  readonly before: readonly ContainerStatus[];
  /** For a container that waits; undefined for the kubelet's default. */
  readonly waiting: (container: Container, said: WaitingReason | undefined) => WaitingReason | undefined;
}

/** Bytes of all termination messages of a pod together. */
const MESSAGE_BYTES = 12 * 1024;

/**
 * One complete status for each container of the spec, in its order, as a kubelet writes it. A container that has ended for good does not come to
 * life again, whatever the site says.
 *
 * @see https://github.com/kubernetes/kubernetes/blob/v1.36.3/pkg/kubelet/kubelet_pods.go convertToAPIContainerStatuses
 */
export function completeContainerStatuses(pod: Pod, facts: ContainerStatusFacts): ContainerStatus[] {
  const { initContainers = [], containers = [] } = pod.spec ?? {};
  const all = [...initContainers, ...containers];
  const messageBytes = Math.floor(
    MESSAGE_BYTES / Math.max(1, all.length + (pod.spec?.ephemeralContainers?.length ?? 0)),
  );
  return (facts.init ? initContainers : containers).map((container) => {
    const before = facts.before.find(({ name }) => name === container.name);
    const site = facts.site.find(({ name }) => name === container.name);
    // Silence of the site is no news.
    if (!site && (before?.state?.running || before?.state?.terminated)) return before;
    if (site && before?.state?.terminated && !site.state?.terminated && !mayRestart(pod, container)) return before;
    const said = normalized(site?.state ?? {}, messageBytes, site?.containerID);
    const state: ContainerState =
      said.running || said.terminated ? said : { waiting: waitingOf(pod, container, said, facts) };
    const created = Boolean(site?.containerID);
    const { allocatedResources, resources } = resourcesOf(container);
    return {
      ...site,
      name: container.name,
      state,
      lastState: normalized(site?.lastState ?? {}, messageBytes),
      ...readiness(container, facts.init, state, site),
      restartCount: site?.restartCount ?? before?.restartCount ?? 0,
      image: site?.image || container.image || '',
      imageID: site?.imageID ?? '',
      ...(created && allocatedResources ? { allocatedResources } : {}),
      ...(created && resources ? { resources } : {}),
      ...mountsOf(container),
    };
  });
}

function mayRestart(pod: Pod, container: Container): boolean {
  return (pod.spec?.restartPolicy ?? 'Always') !== 'Never' || isSidecar(container);
}

/** A kubelet's `ready` and `started`: an init container that has succeeded stays ready, an ordinary one that has ended is not. */
function readiness(
  container: Container,
  init: boolean,
  { running, terminated }: ContainerState,
  site: ContainerStatus | undefined,
): { ready: boolean; started: boolean } {
  if (running) {
    const started = site?.started ?? true;
    return { ready: init && !isSidecar(container) ? false : started && (site?.ready ?? true), started };
  }
  return { ready: init && !isSidecar(container) && terminated?.exitCode === 0, started: false };
}

function waitingOf(
  pod: Pod,
  container: Container,
  { waiting }: ContainerState,
  facts: ContainerStatusFacts,
): { reason: string; message?: string } {
  const reason = (pod.spec?.initContainers ?? []).length > 0 ? 'PodInitializing' : 'ContainerCreating';
  // Of these two the pod decides which one it is, for all its containers.
  const isDefault = waiting?.reason === 'PodInitializing' || waiting?.reason === 'ContainerCreating';
  const said =
    waiting?.reason && !isDefault
      ? { reason: waiting.reason, ...(waiting.message ? { message: waiting.message } : {}) }
      : undefined;
  return facts.waiting(container, said) ?? said ?? { reason };
}

/** Without empty parts and with times as the API server writes them, so that what it gives back is the same. */
function normalized(
  { running, terminated, waiting }: ContainerState,
  messageBytes: number,
  containerID?: string,
): ContainerState {
  if (terminated) {
    const { startedAt, finishedAt, message, ...rest } = terminated;
    return {
      terminated: {
        ...rest,
        exitCode: rest.exitCode ?? 0,
        ...timeField('startedAt', startedAt),
        ...timeField('finishedAt', finishedAt),
        ...(message ? { message: cut(message, messageBytes) } : {}),
        ...(containerID ? { containerID: rest.containerID ?? containerID } : {}),
      },
    };
  }
  if (running) return { running: { ...timeField('startedAt', running.startedAt) } };
  return waiting ? { waiting } : {};
}

function timeField<K extends string>(key: K, value: unknown): { [key in K]?: string } {
  const ms = typeof value === 'string' ? Date.parse(value) : Number.NaN;
  // Go's zero time (year 1) stands for no time.
  if (Number.isNaN(ms) || ms < Date.UTC(1900)) return {};
  return { [key]: `${new Date(ms).toISOString().slice(0, 19)}Z` } as { [key in K]?: string };
}

function cut(text: string, bytes: number): string {
  const encoded = Buffer.from(text);
  if (encoded.length <= bytes) return text;
  // Not in the middle of a character.
  let end = bytes;
  while (end > 0 && ((encoded[end] ?? 0) & 0xc0) === 0x80) end -= 1;
  return encoded.subarray(0, end).toString('utf8');
}

function resourcesOf({ resources = {} }: Container): {
  allocatedResources?: Record<string, string>;
  resources?: ContainerStatus['resources'];
} {
  const { limits, requests } = resources;
  return {
    ...(requests ? { allocatedResources: requests } : {}),
    ...(limits || requests ? { resources: { ...(limits ? { limits } : {}), ...(requests ? { requests } : {}) } } : {}),
  };
}

function mountsOf({ volumeMounts }: Container): Pick<ContainerStatus, 'volumeMounts'> {
  if (!volumeMounts || volumeMounts.length === 0) return {};
  return {
    volumeMounts: volumeMounts.map(({ name, mountPath, readOnly, recursiveReadOnly }) => ({
      name,
      mountPath,
      ...(readOnly
        ? { readOnly, recursiveReadOnly: recursiveReadOnly === 'Enabled' ? recursiveReadOnly : 'Disabled' }
        : {}),
    })),
  };
}
