import { readFile } from 'node:fs/promises';
import type { Clock } from '../base/clock.ts';
import { systemCodeOf } from '../base/errors.ts';
import type { Logger } from '../base/logger.ts';
import type { JobDirectory, StopRequest } from '../contract/job-directory.ts';

/** The wish of the sidecar to end the pod; undefined when it has not said so, or not readably. */
export async function readStopRequest(directory: JobDirectory, logger: Logger): Promise<StopRequest | undefined> {
  try {
    return parseStopRequest(JSON.parse(await readFile(directory.stop, 'utf8')));
  } catch (error) {
    if (systemCodeOf(error) !== 'ENOENT')
      logger.warn('stop request cannot be read', { path: directory.stop, err: error });
    return undefined;
  }
}

/** What has the form of a stop request, from a file or the channel. */
export function parseStopRequest(value: unknown): StopRequest | undefined {
  if (typeof value !== 'object' || value === null) return undefined;
  const { gracePeriodSeconds, requestedAt, reason } = value as Partial<Record<keyof StopRequest, unknown>>;
  if (typeof gracePeriodSeconds !== 'number' || !Number.isFinite(gracePeriodSeconds)) return undefined;
  if (typeof requestedAt !== 'string' || Number.isNaN(Date.parse(requestedAt))) return undefined;
  return { gracePeriodSeconds, requestedAt, reason: typeof reason === 'string' ? reason : 'Deleted' };
}

/** Seconds of the grace that are left. A requester whose clock is ahead of ours does not get more than it asked for. */
export function remainingGraceSeconds({ gracePeriodSeconds, requestedAt }: StopRequest, clock: Clock): number {
  const passed = Math.max(0, (clock.nowMs() - Date.parse(requestedAt)) / 1000);
  return Math.max(0, gracePeriodSeconds - passed);
}
