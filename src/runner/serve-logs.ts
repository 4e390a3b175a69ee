import type { Clock } from '../base/clock.ts';
import { InterlinkError } from '../base/errors.ts';
import { readContainerLog } from '../contract/container-log.ts';
import { containerLogPath, type JobDirectory, type StreamRequest } from '../contract/job-directory.ts';
import { isAttemptOver, logAttempt } from '../contract/log-attempt.ts';
import type { ContainerStatus } from '../kube/types.ts';

export interface ServeLogsDeps {
  readonly directory: JobDirectory;
  readonly clock: Clock;
  /** Current status of a container or init container; undefined when there is none of the name. */
  readonly statusOf: (container: string) => ContainerStatus | undefined;
}

/**
 * Answers a request for logs that came over the channel.
 * @throws NotFound for an unknown container, Invalid when there is nothing to read yet
 */
export async function* serveLogs(
  { kind, container, options }: StreamRequest,
  signal: AbortSignal,
  { directory, clock, statusOf }: ServeLogsDeps,
): AsyncGenerator<Uint8Array, void, void> {
  if (kind !== 'logs') throw new InterlinkError('Unsupported', `this runner cannot serve ${String(kind)}`);
  const status = statusOf(container);
  if (status === undefined) throw new InterlinkError('NotFound', `the pod has no container ${container}`);
  const attempt = logAttempt(status, options);
  if (attempt === undefined)
    throw new InterlinkError(
      'Invalid',
      options.previous
        ? `previous terminated container "${container}" not found`
        : `container "${container}" is waiting to start: ${status.state?.waiting?.reason ?? 'ContainerCreating'}`,
    );
  const isEnded = (): boolean => {
    const now = statusOf(container);
    return now === undefined || isAttemptOver(now, attempt);
  };
  yield* readContainerLog({ path: containerLogPath(directory, container, attempt), options, clock, signal, isEnded });
}
