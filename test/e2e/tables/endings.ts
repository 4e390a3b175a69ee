/** Conditions that many pods end with, as `outlineOf` writes them. */
const conditions = (initialized: string, ready: string, sandbox = 'False'): string =>
  `PodReadyToStartContainers ${sandbox}, Initialized ${initialized}, Ready ${ready}, ContainersReady ${ready}, PodScheduled True`;

/** Of a pod that has succeeded. */
export const COMPLETED = conditions('True PodCompleted', 'False PodCompleted');
/** Of a pod that has failed after its init containers. */
export const FAILED = conditions('True', 'False PodFailed');
/** Of a pod that has failed in one of its init containers. */
export const FAILED_BEFORE = (incomplete: string): string =>
  conditions(`False ContainersNotInitialized "containers with incomplete status: [${incomplete}]"`, 'False PodFailed');
/** Of a pod whose containers are all ready. */
export const READY = conditions('True', 'True', 'True');
/** Of a pod that runs with containers that are not ready, as they stand in the message. */
export const UNREADY = (names: string): string =>
  conditions('True', `False ContainersNotReady "containers with unready status: [${names}]"`, 'True');
