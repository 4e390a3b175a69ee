import type { Container, Pod } from '../../kube/types.ts';
import type { ContainerOutline, PodOutline } from './job-record.ts';

const DEFAULT_GRACE_SECONDS = 30;

/** The part of a pod's spec that its status needs. */
export function podOutline(pod: Pod): PodOutline {
  const { containers = [], initContainers = [], terminationGracePeriodSeconds, nodeName } = pod.spec ?? {};
  return {
    containers: containers.map(outline),
    initContainers: initContainers.map(outline),
    gracePeriodSeconds: terminationGracePeriodSeconds ?? DEFAULT_GRACE_SECONDS,
    ...(nodeName ? { virtualNode: nodeName } : {}),
  };
}

function outline({ name, image = '' }: Container): ContainerOutline {
  return { name, image };
}
