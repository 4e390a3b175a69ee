import type { Clock } from '../base/clock.ts';
import { messageOf } from '../base/errors.ts';
import type { Logger } from '../base/logger.ts';
import type { PodStatus } from '../contract/pod-status.ts';
import { PODS } from '../kube/kinds.ts';
import type { KubeClient } from '../kube/kube-client.ts';

export interface PodLeftoversDeps {
  readonly kube: KubeClient;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly nodeName: string;
  /** All that the site knows now. */
  readonly atSite: () => Iterable<PodStatus>;
  /** Whether the pod is looked after. */
  readonly isTended: (uid: string) => boolean;
  /** Has what is left of the pod removed. */
  readonly remove: (status: PodStatus) => void;
}

const LOOK_MS = 2_000;

/**
 * Finds pods of this node at the site that the API server does not know any more: deleted by force or with their namespace, or while nobody was
 * here. Each is confirmed by a question to the API server itself, after it has been out of place for a while.
 */
export class PodLeftovers {
  readonly #deps: PodLeftoversDeps;
  readonly #graceMs: number;
  readonly #firstSeenMs = new Map<string, number>();

  constructor(deps: PodLeftoversDeps, options: { readonly graceMs: number }) {
    this.#deps = deps;
    this.#graceMs = options.graceMs;
  }

  /** Until the signal aborts. Start it only when the pods of the API server are known in full. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock, logger } = this.#deps;
    while (!signal.aborted) {
      try {
        await this.#look(signal);
        await clock.sleep(LOOK_MS, { signal });
      } catch (error) {
        if (signal.aborted) return;
        logger.warn('left-over pods could not be looked for, will retry', { err: messageOf(error) });
        await clock.sleep(LOOK_MS * 5, { signal }).catch(() => {}); // Ends only by the signal, which the loop looks at.
      }
    }
  }

  async #look(signal: AbortSignal): Promise<void> {
    const { clock, nodeName, atSite, isTended, remove, logger } = this.#deps;
    const nowMs = clock.monotonicMs();
    const strange = [...atSite()].filter(({ uid, virtualNode }) => virtualNode === nodeName && !isTended(uid));
    const uids = new Set(strange.map(({ uid }) => uid));
    for (const uid of this.#firstSeenMs.keys()) if (!uids.has(uid)) this.#firstSeenMs.delete(uid);
    for (const status of strange) {
      const { uid, namespace, name, jobId } = status;
      const sinceMs = this.#firstSeenMs.get(uid) ?? nowMs;
      this.#firstSeenMs.set(uid, sinceMs);
      if (nowMs - sinceMs < this.#graceMs || (await this.#isInApi(status, signal))) continue;
      if (isTended(uid)) continue;
      logger.warn('the site has a pod that the cluster does not know, removing it', {
        namespace,
        pod: name,
        podUid: uid,
        jobId,
      });
      remove(status);
    }
  }

  /** Asks with the node's own selector, which is all that a node's identity may. */
  async #isInApi({ namespace, name, uid }: PodStatus, signal: AbortSignal): Promise<boolean> {
    const fieldSelector = `spec.nodeName=${this.#deps.nodeName},metadata.name=${name}`;
    for await (const { items } of this.#deps.kube.list(PODS, { namespace, fieldSelector }, { signal }))
      if (items.some(({ metadata }) => metadata?.uid === uid)) return true;
    return false;
  }
}
