import { randomBytes } from 'node:crypto';
import type { Event } from 'kubernetes-types/core/v1';
import { Backoff } from '../base/backoff.ts';
import { type Clock, rfc3339 } from '../base/clock.ts';
import { isKind, isRetriable, messageOf } from '../base/errors.ts';
import type { Logger } from '../base/logger.ts';
import type { Service } from '../base/service.ts';
import { EVENTS } from './kinds.ts';
import type { KubeClient } from './kube-client.ts';

/** What an event is about. */
export interface InvolvedObject {
  readonly apiVersion: string;
  readonly kind: string;
  /** Absent for objects without namespaces, whose events go to `default`. */
  readonly namespace?: string;
  readonly name: string;
  readonly uid: string;
  readonly resourceVersion?: string;
  /** Part of the object, e.g. `spec.containers{main}`. */
  readonly fieldPath?: string;
}

/** What happened. The same of all of these, but the time, is a repetition. */
export interface EventToRecord {
  readonly involvedObject: InvolvedObject;
  readonly type: 'Normal' | 'Warning';
  readonly reason: string;
  /** At most 1,024 bytes are kept. */
  readonly message: string;
  /** When it happened; now unless given. */
  readonly timeMs?: number;
}

/**
 * Writes events in the background, in order. The same event again raises `count` of the first one. Events tell people what happens and
 * nothing depends on them: above {@link EventRecorderOptions.queueLength} waiting ones, and after some failures, they are dropped.
 */
export interface EventRecorder extends Service {
  /** Returns at once and never throws. */
  record(event: EventToRecord): void;
  /** Resolves when everything recorded before has been written or dropped. */
  flush(): Promise<void>;
}

export interface EventRecorderOptions {
  /** `source.component`; `kubelet` is what tools expect of a node. */
  readonly component: string;
  /** Name of the node. */
  readonly host: string;
  /** 1,000 unless given. */
  readonly queueLength?: number;
}

const QUEUE_LENGTH = 1_000;
const REMEMBERED = 2_000;
const MESSAGE_BYTES = 1_024;
const ATTEMPTS = 5;

interface Posted {
  readonly namespace: string;
  readonly name: string;
  count: number;
}

/** Writes nothing until `run`. */
export function createEventRecorder(
  deps: { readonly kube: KubeClient; readonly clock: Clock; readonly logger: Logger },
  options: EventRecorderOptions,
): EventRecorder {
  const { kube, clock, logger } = deps;
  const queue: EventToRecord[] = [];
  const posted = new Map<string, Posted>();
  const waiters: (() => void)[] = [];
  let wake: (() => void) | undefined;
  let busy = false;
  let dropping = false;

  async function write(event: EventToRecord, signal: AbortSignal): Promise<void> {
    const key = keyOf(event);
    const before = posted.get(key);
    if (before !== undefined && (await repeat(before, event, signal))) return;
    const body = eventOf(event, options, clock.nowMs());
    const namespace = body.metadata.namespace ?? 'default';
    await kube.create(EVENTS, { namespace }, body, { signal });
    posted.delete(key);
    posted.set(key, { namespace, name: body.metadata.name ?? '', count: 1 });
    const oldest = posted.keys().next();
    if (posted.size > REMEMBERED && !oldest.done) posted.delete(oldest.value);
  }

  /** False when the first event has expired meanwhile. */
  async function repeat(before: Posted, event: EventToRecord, signal: AbortSignal): Promise<boolean> {
    const patch = { count: before.count + 1, lastTimestamp: rfc3339(event.timeMs ?? clock.nowMs()) };
    try {
      await kube.patch(EVENTS, { namespace: before.namespace, name: before.name }, patch, {
        type: 'strategic',
        signal,
      });
      before.count += 1;
      return true;
    } catch (error) {
      if (isKind(error, 'NotFound')) return false;
      throw error;
    }
  }

  async function writeOrDrop(event: EventToRecord, signal: AbortSignal): Promise<void> {
    const backoff = new Backoff({ initialMs: 500, maxMs: 10_000 });
    for (;;) {
      try {
        return await write(event, signal);
      } catch (error) {
        signal.throwIfAborted();
        const { namespace, name } = event.involvedObject;
        // A namespace that is being removed takes no events, and the pod is gone: both are the ordinary end of a pod.
        if (isKind(error, 'NotFound') || (isKind(error, 'Forbidden') && /being terminated/.test(error.message))) return;
        if (isRetriable(error) && backoff.attempts < ATTEMPTS) {
          await clock.sleep(backoff.next(), { signal });
          continue;
        }
        logger.warn('event not written', { namespace, name, reason: event.reason, err: messageOf(error) });
        return;
      }
    }
  }

  function idle(): void {
    for (const resolve of waiters.splice(0)) resolve();
  }

  return {
    name: 'event recorder',
    ready: Promise.resolve(),

    record(event) {
      if (queue.length >= (options.queueLength ?? QUEUE_LENGTH)) {
        if (!dropping) logger.warn('too many events are waiting, dropping new ones', { waiting: queue.length });
        dropping = true;
        return;
      }
      dropping = false;
      queue.push({ ...event, timeMs: event.timeMs ?? clock.nowMs() });
      wake?.();
    },

    flush() {
      if (queue.length === 0 && !busy) return Promise.resolve();
      return new Promise((resolve) => waiters.push(resolve));
    },

    async run(signal) {
      const stop = (): void => wake?.();
      signal.addEventListener('abort', stop, { once: true });
      try {
        while (!signal.aborted) {
          const event = queue.shift();
          if (event === undefined) {
            idle();
            await new Promise<void>((resolve) => {
              wake = resolve;
            });
            continue;
          }
          busy = true;
          await writeOrDrop(event, signal);
          busy = false;
        }
      } catch (error) {
        if (!signal.aborted) throw error;
      } finally {
        busy = false;
        signal.removeEventListener('abort', stop);
        idle();
      }
    },
  };
}

function keyOf({ involvedObject, type, reason, message }: EventToRecord): string {
  return JSON.stringify([involvedObject.uid, involvedObject.fieldPath, type, reason, message]);
}

function eventOf(event: EventToRecord, { component, host }: EventRecorderOptions, nowMs: number): Event {
  const { involvedObject, type, reason, message } = event;
  const time = rfc3339(event.timeMs ?? nowMs);
  const namespace = involvedObject.namespace ?? 'default';
  return {
    apiVersion: 'v1',
    kind: 'Event',
    metadata: { name: `${involvedObject.name}.${randomBytes(8).toString('hex')}`, namespace },
    involvedObject: { ...involvedObject },
    type,
    reason,
    message: shorten(message),
    source: { component, host },
    reportingComponent: component,
    reportingInstance: host,
    firstTimestamp: time,
    lastTimestamp: time,
    count: 1,
  };
}

function shorten(message: string): string {
  const bytes = Buffer.from(message);
  if (bytes.length <= MESSAGE_BYTES) return message;
  // As a stream, the decoder leaves out a character that is cut in two.
  return `${new TextDecoder().decode(bytes.subarray(0, MESSAGE_BYTES - 3), { stream: true })}…`;
}
