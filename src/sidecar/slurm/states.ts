/** How a job in this state counts. `rest` of an ended one tells where the exit code comes from. */
export interface SlurmState {
  /** The compact code of `squeue`. */
  readonly code: string;
  readonly phase: 'pending' | 'running' | 'ended';
  /** Exit code of containers whose end the runner did not record; `exit` takes the job's own. Only for ended states. */
  readonly exitCode?: number | 'exit';
  readonly containerReason?: string;
  /** Reason of a pod that failed as a whole. */
  readonly podReason?: string;
}

/**
 * Every state and state flag that Slurm shows, by its long name. A state that is not here changes nothing.
 *
 * @see https://slurm.schedmd.com/job_state_codes.html and squeue(1) 22.05, JOB STATE CODES
 */
export const SLURM_STATES: Readonly<Record<string, SlurmState>> = {
  /** Waits; its reason tells why. */
  PENDING: { code: 'PD', phase: 'pending' },
  /** Has nodes that still boot: nothing of the pod runs yet, so it must not be taken for a start, nor (its code begins like FAILED's) for an end. */
  CONFIGURING: { code: 'CF', phase: 'pending' },
  /** As CONFIGURING, for nodes that were powered down. */
  POWER_UP_NODE: { code: 'PW', phase: 'pending' },
  /** Put at the head of the queue by an administrator. */
  EXPEDITING: { code: 'EX', phase: 'pending' },
  /** Goes back into the queue although it was submitted with --no-requeue: an administrator did it. The claim keeps it from running twice. */
  REQUEUED: { code: 'RQ', phase: 'pending' },
  /** Requeued by its federation. */
  REQUEUE_FED: { code: 'RF', phase: 'pending' },
  /** Requeued and held. */
  REQUEUE_HOLD: { code: 'RH', phase: 'pending' },
  /** Held because its reservation was deleted. */
  RESV_DEL_HOLD: { code: 'RD', phase: 'pending' },
  /** Requeued and held by a special exit. */
  SPECIAL_EXIT: { code: 'SE', phase: 'pending' },
  /** Runs. */
  RUNNING: { code: 'R', phase: 'running' },
  /** Is about to change its size and runs on. */
  RESIZING: { code: 'RS', phase: 'running' },
  /** Gets a signal. */
  SIGNALING: { code: 'SI', phase: 'running' },
  /** Copies burst-buffer data out; the end comes after it. */
  STAGE_OUT: { code: 'SO', phase: 'running' },
  /** Stopped by SIGSTOP, its processors kept. */
  STOPPED: { code: 'ST', phase: 'running' },
  /** Stopped, its processors given to another job. */
  SUSPENDED: { code: 'S', phase: 'running' },
  /** Cleans up after the end (epilog); the final state follows. */
  COMPLETING: { code: 'CG', phase: 'running' },
  /** Reports to the database. */
  UPDATE_DB: { code: 'UD', phase: 'running' },
  /** Ended with exit code 0. */
  COMPLETED: { code: 'CD', phase: 'ended', exitCode: 'exit', containerReason: 'Completed' },
  /** Ended with another exit code, or was killed by a signal, or was refused. */
  FAILED: { code: 'F', phase: 'ended', exitCode: 'exit', containerReason: 'Error' },
  /** Reached its time limit: SIGTERM, KillWait, SIGKILL. */
  TIMEOUT: { code: 'TO', phase: 'ended', exitCode: 143, containerReason: 'Error', podReason: 'DeadlineExceeded' },
  /** Could not have ended before its --deadline. */
  DEADLINE: { code: 'DL', phase: 'ended', exitCode: 143, containerReason: 'Error', podReason: 'DeadlineExceeded' },
  /** A process was killed because the job's memory was used up. */
  OUT_OF_MEMORY: { code: 'OOM', phase: 'ended', exitCode: 137, containerReason: 'OOMKilled' },
  /** Cancelled by its user or an administrator. */
  CANCELLED: { code: 'CA', phase: 'ended', exitCode: 143, containerReason: 'Error', podReason: 'Cancelled' },
  /** Gave way to another job. */
  PREEMPTED: { code: 'PR', phase: 'ended', exitCode: 143, containerReason: 'Error', podReason: 'Preempted' },
  /** Its node failed: nothing there tells how the containers ended. */
  NODE_FAIL: { code: 'NF', phase: 'ended', exitCode: 137, containerReason: 'Error', podReason: 'NodeLost' },
  /** Its node did not boot. */
  BOOT_FAIL: { code: 'BF', phase: 'ended', exitCode: 137, containerReason: 'Error', podReason: 'NodeLost' },
  /** Could not be launched on its nodes (prolog). */
  LAUNCH_FAILED: { code: 'LF', phase: 'ended', exitCode: 137, containerReason: 'Error', podReason: 'NodeLost' },
  /** Its nodes could not be configured. */
  RECONFIG_FAIL: { code: 'RC', phase: 'ended', exitCode: 137, containerReason: 'Error', podReason: 'NodeLost' },
  /** Taken over by another cluster of the federation, which is not asked. */
  REVOKED: { code: 'RV', phase: 'ended', exitCode: 137, containerReason: 'Error', podReason: 'Cancelled' },
};
