import type { ContainerStatus } from '../kube/types.ts';
import type { PodFields, PodRecorder } from './pod-recorder.ts';

/**
 * The last record: nothing of the pod runs any more. Containers that never started are terminated with 137 and `ContainerStatusUnknown`, but those
 * that could not have started because an init container had not ended well stay as they are.
 *
 * @see https://github.com/kubernetes/kubernetes/blob/v1.36.3/pkg/kubelet/status/status_manager.go TerminatePod
 */
export function recordPodGone(recorder: PodRecorder, fields: PodFields): void {
  const unlocated: Record<string, Partial<ContainerStatus>> = {};
  const terminated = {
    exitCode: 137,
    reason: 'ContainerStatusUnknown',
    message: 'The container could not be located when the pod was terminated',
  };
  const isInitialized =
    recorder.initContainers.every(({ state }) => state?.terminated?.exitCode === 0) ||
    recorder.containers.some(({ state }) => state?.running ?? state?.terminated);
  for (const { name, state } of isInitialized ? recorder.containers : [])
    if (state?.terminated === undefined) unlocated[name] = { state: { terminated }, ready: false, started: false };
  recorder.change({ ...fields, sandbox: 'Gone' }, unlocated, []);
}
