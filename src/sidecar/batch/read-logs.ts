import { access } from 'node:fs/promises';
import type { Clock } from '../../base/clock.ts';
import { InterlinkError } from '../../base/errors.ts';
import { readContainerLog } from '../../contract/container-log.ts';
import { containerLogPath, type JobDirectory, type StreamRequest } from '../../contract/job-directory.ts';
import { isAttemptOver, logAttempt } from '../../contract/log-attempt.ts';
import type { LogRequest } from '../../contract/sidecar.ts';
import type { ContainerStatus } from '../../kube/types.ts';
import type { PodJob } from './pod-job.ts';

export interface ReadLogsDeps {
  readonly clock: Clock;
  readonly directory: JobDirectory;
  /** Asks the pod's runner over the live channel; undefined where there is none. */
  readonly openStream:
    | ((request: StreamRequest, signal: AbortSignal) => Promise<AsyncIterable<Uint8Array>>)
    | undefined;
}

/**
 * A container's log from the job directory, or from the runner where the file cannot be seen here.
 * @throws NotFound for an unknown container, Invalid when it has not started or has no previous attempt; in the kubelet's words.
 */
export async function readLogs(
  job: PodJob,
  request: LogRequest,
  deps: ReadLogsDeps,
  signal: AbortSignal,
): Promise<AsyncIterable<Uint8Array>> {
  const { container, options, name } = request;
  const status = statusOf(job, container);
  if (!status)
    throw new InterlinkError('NotFound', `container "${container}" not found in pod "${name}_${request.namespace}"`);
  const attempt = attemptOf(status, request);
  const path = containerLogPath(deps.directory, container, attempt);
  try {
    await access(path);
  } catch (error) {
    if (job.connected && deps.openStream) return deps.openStream({ kind: 'logs', container, options }, signal);
    // A container that was never started has ended without a word.
    if (status.state?.terminated && status.containerID === undefined) return nothing();
    throw new InterlinkError(
      'NotFound',
      `log of container "${container}" in pod "${name}" cannot be found at the site`,
      {
        cause: error,
        details: { path },
      },
    );
  }
  const isEnded = async (): Promise<boolean> => {
    if (!job.connected && !job.over) await job.readRecords();
    const now = statusOf(job, container);
    return job.over || (now !== undefined && isAttemptOver(now, attempt));
  };
  return readContainerLog({ path, options, clock: deps.clock, signal, isEnded });
}

function statusOf(job: PodJob, container: string): ContainerStatus | undefined {
  const { containers, initContainers } = job.status();
  return [...containers, ...initContainers].find(({ name }) => name === container);
}

/** The attempt that is meant. @see kubelet_pods.go validateContainerLogStatus */
function attemptOf(status: ContainerStatus, { container, name, options }: LogRequest): number {
  const attempt = logAttempt(status, options);
  if (attempt !== undefined) return attempt;
  throw new InterlinkError(
    'Invalid',
    options.previous
      ? `previous terminated container "${container}" in pod "${name}" not found`
      : `container "${container}" in pod "${name}" is waiting to start: ${status.state?.waiting?.reason ?? 'ContainerCreating'}`,
  );
}

async function* nothing(): AsyncGenerator<Uint8Array, void, void> {}
