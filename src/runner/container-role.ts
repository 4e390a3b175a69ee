import { isSidecar } from '../kube/pod-phase.ts';
import type { Container, Pod } from '../kube/types.ts';

/** What a container is to its pod: it prepares the pod, runs along with it, or is what the pod is for. */
export type ContainerRole = 'init' | 'sidecar' | 'main';

/** The role of an init container. */
export function initRole(container: Container): 'init' | 'sidecar' {
  return isSidecar(container) ? 'sidecar' : 'init';
}

/** Where events say that a container stands. */
export function fieldPathOf(role: ContainerRole, name: string): string {
  return role === 'main' ? `spec.containers{${name}}` : `spec.initContainers{${name}}`;
}

/**
 * Whether a container that ended by itself is started again: a sidecar always, an init container until it has ended well.
 * @see https://github.com/kubernetes/kubernetes/blob/v1.36.3/pkg/kubelet/container/helpers.go ShouldContainerBeRestarted
 */
export function restartsAfter(pod: Pod, role: ContainerRole, exitCode: number): boolean {
  if (role === 'sidecar') return true;
  const policy = pod.spec?.restartPolicy ?? 'Always';
  if (exitCode === 0) return role === 'main' && policy === 'Always';
  return policy !== 'Never';
}
