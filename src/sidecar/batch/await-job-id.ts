import type { Clock } from '../../base/clock.ts';
import { InterlinkError } from '../../base/errors.ts';
import type { PodJob } from './pod-job.ts';

/**
 * The job id of a pod whose submission is under way. The caller learns at once when the outcome of the submission is unknown; the work on it goes on in any case.
 *
 * @throws Unavailable after `waitMs` or on an unknown outcome, with what the submit command said; the reason why the batch system refused the job;
 * `signal.reason` on abort
 */
export async function awaitJobId(job: PodJob, waitMs: number, clock: Clock, signal: AbortSignal): Promise<string> {
  const { namespace, name } = job.record;
  const doubtful = Promise.withResolvers<never>();
  const check = (): void => {
    if (job.doubt === undefined) return;
    const message = `pod ${namespace}/${name} may have been submitted: ${job.doubt}; the batch system is being asked, ask again`;
    doubtful.reject(new InterlinkError('Unavailable', message, { code: 'sidecar.doubtful' }));
  };
  // Nobody waits for it when the race below has been decided otherwise.
  doubtful.promise.catch(() => {});
  const stopListening = job.onChange(check);
  const waiting = new AbortController();
  const expired = clock.sleep(waitMs, { signal: AbortSignal.any([signal, waiting.signal]) }).then(() => {
    const message = `pod ${namespace}/${name} is taken and its job id is not known yet; ask again`;
    throw new InterlinkError('Unavailable', message, { code: 'sidecar.submitting' });
  });
  try {
    check();
    return await Promise.race([job.submitted.promise, doubtful.promise, expired]);
  } finally {
    stopListening();
    waiting.abort();
  }
}
