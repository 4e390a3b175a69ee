import type { Clock } from '../../base/clock.ts';
import type { PodStatus } from '../../contract/pod-status.ts';
import type { WatchEvent } from '../../contract/sidecar.ts';

/** Events that may wait for one reader; a slower one gets a snapshot in their place. */
const MAX_QUEUED = 4_096;

export interface WatchHubDeps {
  readonly clock: Clock;
  /** All statuses as they are now. */
  readonly snapshot: () => readonly PodStatus[];
  readonly heartbeatMs: number;
}

interface Subscriber {
  queue: WatchEvent[];
  overflowed: boolean;
  wake: (() => void) | undefined;
}

/** Spreads status changes to any number of readers; memory per reader is bounded. */
export class WatchHub {
  readonly #deps: WatchHubDeps;
  readonly #subscribers = new Set<Subscriber>();

  constructor(deps: WatchHubDeps) {
    this.#deps = deps;
  }

  publish(event: WatchEvent): void {
    for (const subscriber of this.#subscribers) {
      if (subscriber.queue.length >= MAX_QUEUED) {
        subscriber.queue = [];
        subscriber.overflowed = true;
      }
      if (!subscriber.overflowed) subscriber.queue.push(event);
      subscriber.wake?.();
    }
  }

  /** A snapshot, then every change in order, with heartbeats; ends by throwing `signal.reason`. */
  async *subscribe(signal: AbortSignal): AsyncGenerator<WatchEvent, void, void> {
    signal.throwIfAborted();
    const subscriber: Subscriber = { queue: [], overflowed: true, wake: undefined };
    this.#subscribers.add(subscriber);
    try {
      for (;;) {
        signal.throwIfAborted();
        if (subscriber.overflowed) {
          subscriber.overflowed = false;
          subscriber.queue = [];
          yield { type: 'SNAPSHOT', items: this.#deps.snapshot() };
          continue;
        }
        const event = subscriber.queue.shift();
        if (event) yield event;
        else if (await this.#isQuiet(subscriber, signal)) yield { type: 'HEARTBEAT' };
      }
    } finally {
      this.#subscribers.delete(subscriber);
    }
  }

  /** Waits for an event or for the heartbeat's time; tells whether it was the latter. */
  async #isQuiet(subscriber: Subscriber, signal: AbortSignal): Promise<boolean> {
    const woken = new AbortController();
    subscriber.wake = () => woken.abort();
    try {
      await this.#deps.clock.sleep(this.#deps.heartbeatMs, { signal: AbortSignal.any([signal, woken.signal]) });
      return true;
    } catch (error) {
      signal.throwIfAborted();
      if (woken.signal.aborted) return false;
      throw error;
    } finally {
      subscriber.wake = undefined;
    }
  }
}
