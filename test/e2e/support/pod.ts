import type { Container, Pod, PodSpec } from '../../../src/kube/types.ts';
import { IMAGE } from './environment.ts';
import { podOf } from './kubectl.ts';
import type { Stack } from './stack.ts';
import { until } from './until.ts';

/** A pod for the node of this stack: one container `c` that runs `script` with a shell, unless `spec` says otherwise. */
export function podFor(stack: Stack, name: string, script: string, spec: Partial<PodSpec> = {}, labels = {}): Pod {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, namespace: stack.namespace, labels },
    spec: podSpecFor(stack, script, spec),
  };
}

/** The same as the template of a Deployment or Job. */
export function podSpecFor(stack: Stack, script: string, spec: Partial<PodSpec> = {}): PodSpec {
  return {
    restartPolicy: 'Never',
    terminationGracePeriodSeconds: 2,
    automountServiceAccountToken: false,
    enableServiceLinks: false,
    nodeSelector: { 'kubernetes.io/hostname': stack.nodeName },
    tolerations: [{ operator: 'Exists' }],
    containers: [shell('c', script)],
    ...spec,
  };
}

/** A container of the test image that runs `script`. */
export function shell(name: string, script: string, more: Partial<Container> = {}): Container {
  return { name, image: IMAGE, imagePullPolicy: 'IfNotPresent', command: ['sh', '-c', script], ...more };
}

/** Waits until the pod has the phase; a terminal phase that is not the one waited for fails at once. */
export function untilPhase(stack: Stack, name: string, phase: string, withinMs = 60_000): Promise<Pod> {
  let last: Pod | undefined;
  return until(
    `pod ${name} is ${phase}`,
    async () => {
      last = await podOf(stack.namespace, name);
      const is = last?.status?.phase;
      if (is !== phase && (is === 'Succeeded' || is === 'Failed'))
        throw new Error(`pod ${name} is ${is}, not ${phase}: ${JSON.stringify(last?.status, null, 1)}`);
      return is === phase && last;
    },
    { withinMs, evidence: () => last?.status },
  );
}

/** The state of a container, whatever kind it has. */
export function stateOf(
  pod: Pod,
  container: string,
): { waiting?: object; running?: object; terminated?: { exitCode: number; reason?: string; message?: string } } {
  const statuses = [...(pod.status?.initContainerStatuses ?? []), ...(pod.status?.containerStatuses ?? [])];
  return (statuses.find((status) => status.name === container)?.state ?? {}) as ReturnType<typeof stateOf>;
}
