import { randomUUID } from 'node:crypto';
import type { PodBundle } from '../../src/contract/pod-bundle.ts';
import type { Pod } from '../../src/kube/types.ts';

/** A pod with one container `main`, a UID of its own, and whatever `change` makes of it. */
export function createPod(change: (pod: Pod & { spec: NonNullable<Pod['spec']> }) => void = () => {}): Pod {
  const uid = randomUUID();
  const pod = {
    metadata: { name: `pod-${uid.slice(0, 8)}`, namespace: 'default', uid },
    spec: { restartPolicy: 'Never', containers: [{ name: 'main', image: 'busybox', command: ['true'] }] },
  };
  change(pod);
  return pod;
}

/** A bundle of a pod, with nothing but it unless given. */
export function createBundle(pod: Pod = createPod(), objects: Partial<Omit<PodBundle, 'pod'>> = {}): PodBundle {
  return { pod, configMaps: [], secrets: [], projectedVolumes: [], ...objects };
}
