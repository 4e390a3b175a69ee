/**
 * The Kubernetes objects that interlink touches. Objects stay the plain JSON that the API server sent, from end to end, so that
 * no field is lost; these types exist at compile time only and name what we read.
 *
 * @see https://kubernetes.io/docs/reference/kubernetes-api/
 */
import type * as core from 'kubernetes-types/core/v1';

export type {
  ConfigMap,
  Container,
  ContainerState,
  ContainerStateRunning,
  ContainerStateTerminated,
  ContainerStateWaiting,
  DownwardAPIVolumeFile,
  EnvFromSource,
  EnvVar,
  HTTPGetAction,
  KeyToPath,
  LifecycleHandler,
  Node,
  NodeCondition,
  PodCondition,
  PodSpec,
  Probe,
  ResourceRequirements,
  Secret,
  SecurityContext,
  Service,
  Taint,
  Toleration,
  Volume,
  VolumeMount,
  VolumeProjection,
} from 'kubernetes-types/core/v1';

/** Status of one container; `volumeMounts` is newer than the type package. */
export interface ContainerStatus extends core.ContainerStatus {
  volumeMounts?: { name: string; mountPath: string; readOnly?: boolean; recursiveReadOnly?: string }[];
}

/** `status` of a pod with the fields that are newer than the type package. */
export interface PodStatusFields extends core.PodStatus {
  observedGeneration?: number;
  containerStatuses?: ContainerStatus[];
  initContainerStatuses?: ContainerStatus[];
}

/** A pod whose status has the newer fields. */
export interface Pod extends Omit<core.Pod, 'status'> {
  status?: PodStatusFields;
}
