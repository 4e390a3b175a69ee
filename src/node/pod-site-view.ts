import { isDeepStrictEqual } from 'node:util';
import { Backoff } from '../base/backoff.ts';
import type { Clock } from '../base/clock.ts';
import { isKind, messageOf } from '../base/errors.ts';
import type { Logger } from '../base/logger.ts';
import type { PodStatus } from '../contract/pod-status.ts';
import type { Sidecar } from '../contract/sidecar.ts';
import type { Pod } from '../kube/types.ts';

export interface SiteViewDeps {
  readonly sidecar: Sidecar;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Pods whose status is wanted; asked for at each poll of a site that cannot be watched. */
  readonly wanted: () => readonly Pod[];
  /** A status that is new or another one than before, in the order in which the site gave them. */
  readonly onStatus: (status: PodStatus) => void;
  /** The site has forgotten the pod. */
  readonly onForgotten: (uid: string) => void;
  /**
   * After a full answer: all that the site knows, or of a polled site all that it knows of the wanted pods. `asked` are the UIDs that an absence can be
   * concluded for; undefined for all.
   */
  readonly onSnapshot: (known: ReadonlyMap<string, PodStatus>, asked: ReadonlySet<string> | undefined) => void;
  /** The site answers again after it could not be reached; what failed meanwhile is worth another attempt now. */
  readonly onBack: () => void;
}

const BACKOFF = { initialMs: 500, maxMs: 5_000 };
/** A watch that lived this long was a good one. */
const GOOD_MS = 10_000;
/** Time after which a site that is polled is asked again whether it can be watched. */
const REPROBE_MS = 5 * 60_000;

/**
 * What the site says of pods, pushed where it can push, else polled in one call per interval. Failures change nothing and are retried for ever;
 * after a gap a full answer comes first.
 */
export class SiteView {
  readonly #deps: SiteViewDeps;
  readonly #pollIntervalMs: number;
  readonly #known = new Map<string, PodStatus>();
  #answers = 0;
  #isFailing = false;

  constructor(deps: SiteViewDeps, options: { readonly pollIntervalMs: number }) {
    this.#deps = deps;
    this.#pollIntervalMs = options.pollIntervalMs;
  }

  /** Whether a full answer has been received since the start. */
  get isSynced(): boolean {
    return this.#answers > 0;
  }

  get(uid: string): PodStatus | undefined {
    return this.#known.get(uid);
  }

  list(): Iterable<PodStatus> {
    return this.#known.values();
  }

  /** Until the signal aborts. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock, logger } = this.#deps;
    const backoff = new Backoff(BACKOFF);
    while (!signal.aborted) {
      const startedMs = clock.monotonicMs();
      const answers = this.#answers;
      try {
        await this.#watch(signal);
      } catch (error) {
        if (signal.aborted) return;
        if (isKind(error, 'Unsupported')) {
          await this.#poll(signal);
          continue;
        }
        if (this.#answers > answers && clock.monotonicMs() - startedMs >= GOOD_MS) backoff.reset();
        if (!this.#isFailing) logger.warn('watch of the site ended, will retry', { err: messageOf(error) });
        this.#isFailing = true;
      }
      await this.#pause(backoff.next(), signal);
    }
  }

  async #watch(signal: AbortSignal): Promise<void> {
    for await (const event of this.#deps.sidecar.watch({ signal })) {
      switch (event.type) {
        case 'SNAPSHOT':
          this.#takeAll(event.items, undefined);
          break;
        case 'STATUS':
          this.#known.set(event.item.uid, event.item);
          this.#deps.onStatus(event.item);
          break;
        case 'DELETED':
          this.#known.delete(event.uid);
          this.#deps.onForgotten(event.uid);
          break;
        case 'HEARTBEAT':
          break;
      }
    }
  }

  /** Until the site can be watched; asked again from time to time, as a peer may have been replaced by a newer one. */
  async #poll(signal: AbortSignal): Promise<void> {
    const { sidecar, clock, logger, wanted } = this.#deps;
    logger.info('site cannot be watched, polling it', { intervalMs: this.#pollIntervalMs });
    const untilMs = clock.monotonicMs() + REPROBE_MS;
    while (!signal.aborted && clock.monotonicMs() < untilMs) {
      const pods = wanted();
      const asked = new Set(pods.map((pod) => pod.metadata?.uid ?? ''));
      try {
        this.#takeAll(pods.length === 0 ? [] : await sidecar.status(pods, { signal }), asked);
      } catch (error) {
        if (signal.aborted) return;
        if (!this.#isFailing) logger.warn('status of pods not received, will retry', { err: messageOf(error) });
        this.#isFailing = true;
      }
      await this.#pause(this.#pollIntervalMs, signal);
    }
  }

  #takeAll(items: readonly PodStatus[], asked: ReadonlySet<string> | undefined): void {
    const now = new Map(items.map((item) => [item.uid, item]));
    for (const uid of [...this.#known.keys()])
      if (!now.has(uid) && (asked === undefined || asked.has(uid))) this.#known.delete(uid);
    const news = items.filter((item) => !isDeepStrictEqual(this.#known.get(item.uid), item));
    for (const item of news) this.#known.set(item.uid, item);
    this.#answers += 1;
    for (const item of news) this.#deps.onStatus(item);
    this.#deps.onSnapshot(now, asked);
    if (this.#isFailing) this.#deps.onBack();
    this.#isFailing = false;
  }

  async #pause(ms: number, signal: AbortSignal): Promise<void> {
    try {
      await this.#deps.clock.sleep(ms, { signal });
    } catch (error) {
      if (!signal.aborted) throw error;
    }
  }
}
