import type { WaitingReason } from './container-status.ts';
import type { PodStatus } from './pod-status.ts';

/** Waiting reasons of a batch system that are shown as they are. */
const SHOWN = new Set(['Queued', 'Resources', 'Priority', 'Held', 'Submitting', 'Pulling']);

/** How batch systems say that a job is held by somebody. */
const HELD = /held/i;

/**
 * Why a container of a pod waits whose job has not started: the batch system's own reason where it is one of a few that people know, else `Queued`
 * (`Held` for the many kinds of hold) with the batch system's word in the message. Undefined when the site gives no such reason or the job runs: then
 * the container's own reason counts.
 */
export function queueReason(site: PodStatus, said: WaitingReason | undefined): WaitingReason | undefined {
  if (site.sandbox !== 'Waiting') return undefined;
  const reason = site.reason ?? said?.reason;
  const message = site.message ?? said?.message;
  if (!reason || reason === 'ContainerCreating' || reason === 'PodInitializing') return undefined;
  if (SHOWN.has(reason)) return { reason, ...(message ? { message } : {}) };
  const text = message && !message.includes(reason) ? `${reason}: ${message}` : (message ?? reason);
  return { reason: HELD.test(reason) ? 'Held' : 'Queued', message: text };
}
