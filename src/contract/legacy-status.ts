import type { Container, ContainerStatus, Pod } from '../kube/types.ts';
import type { PodStatus, SandboxState } from './pod-status.ts';

/**
 * What the container list of an existing plugin means: complete statuses in the order of the spec, with the fields that plugins leave out taken from
 * it, and the sandbox derived. The pod is over only when every expected container has ended, or when an init container failed for good; a
 * container that the plugin does not mention is waiting, never finished.
 */
export function legacyStatus(
  pod: Pod | undefined,
  containers: readonly ContainerStatus[],
  initContainers: readonly ContainerStatus[],
): Pick<PodStatus, 'sandbox' | 'containers' | 'initContainers'> {
  const main = complete(pod?.spec?.containers, containers);
  const init = complete(pod?.spec?.initContainers, initContainers);
  return { sandbox: sandboxOf(pod, main, init), containers: main, initContainers: init };
}

function complete(
  expected: readonly Container[] | undefined,
  actual: readonly ContainerStatus[],
): readonly ContainerStatus[] {
  const byName = new Map(actual.map((status) => [status.name, status]));
  if (expected === undefined) return actual.map((status) => normalize(status));
  return expected.map((container) => normalize(byName.get(container.name), container));
}

function normalize(status: ContainerStatus | undefined, container?: Container): ContainerStatus {
  const said = (withoutNulls(status ?? {}) ?? {}) as Partial<ContainerStatus>;
  const state = { ...said.state };
  if (state.terminated) state.terminated = { ...state.terminated, exitCode: state.terminated.exitCode ?? 0 };
  else if (!state.running && !state.waiting) state.waiting = { reason: 'ContainerCreating' };
  return {
    ...said,
    name: status?.name ?? container?.name ?? '',
    image: said.image || container?.image || '',
    imageID: said.imageID ?? '',
    ready: said.ready ?? false,
    restartCount: said.restartCount ?? 0,
    lastState: said.lastState ?? {},
    state,
  };
}

function sandboxOf(
  pod: Pod | undefined,
  main: readonly ContainerStatus[],
  init: readonly ContainerStatus[],
): SandboxState {
  const ended = (status: ContainerStatus): boolean => status.state?.terminated !== undefined;
  const started = (status: ContainerStatus): boolean => ended(status) || status.state?.running !== undefined;
  if (main.length > 0 && main.every(ended)) return 'Gone';
  const failed = init.some((status) => (status.state?.terminated?.exitCode ?? 0) !== 0);
  if (failed && pod?.spec?.restartPolicy === 'Never' && !main.some(started)) return 'Gone';
  return [...main, ...init].some(started) ? 'Ready' : 'Waiting';
}

/** Plugins written in Python write every unset field as null; Kubernetes knows no such thing. */
function withoutNulls(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutNulls);
  if (typeof value !== 'object' || value === null) return value ?? undefined;
  return Object.fromEntries(
    Object.entries(value)
      .filter(([, entry]) => entry !== null)
      .map(([key, entry]) => [key, withoutNulls(entry)]),
  );
}
