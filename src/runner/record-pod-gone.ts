import { isSidecar } from '../kube/pod-phase.ts';
import type { ContainerStatus, Pod } from '../kube/types.ts';
import type { PodFields, PodRecorder } from './pod-recorder.ts';

/**
 * The last record: nothing of the pod runs any more. Containers that never started are terminated with 137 and `ContainerStatusUnknown`, but those
 * that could not have started because an init container had not ended well stay as they are.
 *
 * @see https://github.com/kubernetes/kubernetes/blob/v1.36.3/pkg/kubelet/status/status_manager.go TerminatePod
 */
export function recordPodGone(pod: Pod, recorder: PodRecorder, fields: PodFields): void {
  const unlocated: Record<string, Partial<ContainerStatus>> = {};
  const terminated = {
    exitCode: 137,
    reason: 'ContainerStatusUnknown',
    message: 'The container could not be located when the pod was terminated',
  };
  const hasRun = ({ state }: ContainerStatus): boolean => Boolean(state?.running ?? state?.terminated);
  const isInitialized =
    (pod.spec?.initContainers ?? []).every((container) => {
      const status = recorder.of(container.name);
      return isSidecar(container) ? hasRun(status) : status.state?.terminated?.exitCode === 0;
    }) || recorder.containers.some(hasRun);
  for (const { name, state } of isInitialized ? recorder.containers : [])
    if (state?.terminated === undefined) unlocated[name] = { state: { terminated }, ready: false, started: false };
  recorder.change({ ...fields, sandbox: 'Gone' }, unlocated, []);
}
