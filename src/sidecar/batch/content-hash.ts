import { createHash } from 'node:crypto';
import type { PodBundle } from '../../contract/pod-bundle.ts';

/** Annotations that decide how a job is submitted. */
const JOB_ANNOTATION = /^[a-z]+-job\.(vk|knoc)\.io\//;

/**
 * SHA-256 of what makes two creates of one UID the same: the pod's name and spec, and its annotations for the batch system. What volumes show is left out, as it
 * changes while the pod lives, and so is what Kubernetes changes by itself (status, versions, other metadata).
 */
export function contentHash(bundle: PodBundle): string {
  const { pod } = bundle;
  const annotations = Object.entries(pod.metadata?.annotations ?? {}).filter(([name]) => JOB_ANNOTATION.test(name));
  const content = {
    namespace: pod.metadata?.namespace,
    name: pod.metadata?.name,
    annotations: Object.fromEntries(annotations),
    spec: pod.spec,
  };
  return createHash('sha256').update(canonical(content)).digest('hex');
}

/** JSON with sorted keys, so that the order in which a peer writes an object does not matter. */
function canonical(value: unknown): string {
  return JSON.stringify(value, (_key, inner: unknown) =>
    inner !== null && typeof inner === 'object' && !Array.isArray(inner)
      ? Object.fromEntries(Object.entries(inner).sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0)))
      : inner,
  );
}
