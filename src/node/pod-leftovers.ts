import type { Clock } from '../base/clock.ts';
import { messageOf } from '../base/errors.ts';
import type { Logger } from '../base/logger.ts';
import type { PodStatus } from '../contract/pod-status.ts';
import { PODS } from '../kube/kinds.ts';
import type { KubeClient, ListQuery } from '../kube/kube-client.ts';

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
const FEW = 5;

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
    for (const uid of uids) if (!this.#firstSeenMs.has(uid)) this.#firstSeenMs.set(uid, nowMs);
    const due = strange.filter(({ uid }) => nowMs - (this.#firstSeenMs.get(uid) ?? nowMs) >= this.#graceMs);
    if (due.length === 0) return;
    const inApi = await this.#uidsInApi(due, signal);
    for (const status of due) {
      const { uid, namespace, name, jobId, sandbox } = status;
      if (inApi.has(uid) || isTended(uid)) continue;
      const fields = { namespace, pod: name, podUid: uid, jobId };
      if (sandbox === 'Gone') logger.debug('the site may forget a finished pod', fields);
      else logger.warn('the site has a pod that the cluster does not know, removing it', fields);
      remove(status);
    }
  }

  /** Asks with the node's own selector, which is all that a node's identity may: for a few pods one by one, else for all of the node. */
  async #uidsInApi(due: readonly PodStatus[], signal: AbortSignal): Promise<ReadonlySet<string>> {
    const ofNode = `spec.nodeName=${this.#deps.nodeName}`;
    const queries: ListQuery[] =
      due.length > FEW
        ? [{ fieldSelector: ofNode }]
        : due.map(({ namespace, name }) => ({ namespace, fieldSelector: `${ofNode},metadata.name=${name}` }));
    const uids = new Set<string>();
    for (const query of queries)
      for await (const { items } of this.#deps.kube.list(PODS, query, { signal }))
        for (const { metadata } of items) uids.add(metadata?.uid ?? '');
    return uids;
  }
}
