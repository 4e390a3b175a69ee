import type { Clock } from '../base/clock.ts';
import { isKind } from '../base/errors.ts';
import type { Logger } from '../base/logger.ts';
import type { PodStatus } from '../contract/pod-status.ts';
import type { Sidecar } from '../contract/sidecar.ts';
import { PODS } from '../kube/kinds.ts';
import type { KubeClient } from '../kube/kube-client.ts';
import type { Pod } from '../kube/types.ts';

export interface PodRemovalDeps {
  readonly kube: KubeClient;
  readonly sidecar: Sidecar;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly site: { get(uid: string): PodStatus | undefined };
  readonly limits: { readonly stopMarginMs: number };
}

/**
 * The steps of one pod's removal; each may be repeated. The object stays in the API until the site has confirmed the end, so that whoever goes on
 * after a crash finds what is left to do; the site's own promise is durable.
 */
export class PodRemoval {
  readonly #deps: PodRemovalDeps;
  /** The shortest grace period that the site has been told. */
  #askedSeconds: number | undefined;
  #askedAtMs = 0;
  #isFinalized = false;

  constructor(deps: PodRemovalDeps) {
    this.#deps = deps;
  }

  /**
   * Tells the site to end the pod within its grace period, again when that has become shorter.
   * @throws what `Sidecar.delete` throws: ask again later
   */
  async ask(pod: Pod, signal: AbortSignal): Promise<undefined> {
    const { sidecar, site, clock, logger } = this.#deps;
    const seconds = graceSecondsOf(pod);
    if (this.#askedSeconds !== undefined && this.#askedSeconds <= seconds) return;
    await sidecar.delete(pod, { signal, session: pod.metadata?.uid ?? '' });
    if (site.get(pod.metadata?.uid ?? '')?.sandbox === 'Gone') logger.debug('site may forget the pod');
    else logger.info('pod is being stopped', { gracePeriodSeconds: seconds });
    this.#askedSeconds = seconds;
    this.#askedAtMs = clock.monotonicMs();
  }

  /**
   * Asks for the end and tells for how many milliseconds at most it may still be awaited; 0 when the site does not know the pod, or has had its
   * time.
   *
   * @param find asks the site itself about the pod
   */
  async stop(pod: Pod, find: () => Promise<boolean>, signal: AbortSignal): Promise<number> {
    await this.ask(pod, signal);
    const { clock, site, limits, logger } = this.#deps;
    if (!site.get(pod.metadata?.uid ?? '') && !(await find())) return 0;
    const untilMs = this.#askedAtMs + (this.#askedSeconds ?? 0) * 1000 + limits.stopMarginMs;
    const restMs = untilMs - clock.monotonicMs();
    if (restMs <= 0) logger.warn('the site has not confirmed the end of the pod in time; it has promised to end it');
    return Math.max(0, restMs);
  }

  /** As {@link stop}, without any grace, for a pod that nobody knows any more; a site is also told when it may forget a pod that is over. */
  async stopNow(pod: Pod, isOver: boolean, known: () => PodStatus | undefined, signal: AbortSignal): Promise<number> {
    if (this.#askedSeconds === undefined || !isOver)
      await this.ask({ ...pod, metadata: { ...pod.metadata, deletionGracePeriodSeconds: 0 } }, signal);
    const status = known();
    if (isOver || !status || status.sandbox === 'Gone') return 0;
    return Math.max(0, this.#askedAtMs + this.#deps.limits.stopMarginMs - this.#deps.clock.monotonicMs());
  }

  /** Takes the object out of the API, once; finalizers of others may keep it there. */
  async finalize(pod: Pod, signal: AbortSignal): Promise<void> {
    if (this.#isFinalized) return;
    const { namespace = 'default', name = '', uid = '' } = pod.metadata ?? {};
    try {
      await this.#deps.kube.delete(PODS, { namespace, name }, { signal, gracePeriodSeconds: 0, uid });
    } catch (error) {
      // Gone already, or another pod has the name by now.
      if (!isKind(error, 'NotFound', 'Conflict')) throw error;
    }
    this.#isFinalized = true;
  }
}

function graceSecondsOf({ metadata, spec }: Pod): number {
  return metadata?.deletionGracePeriodSeconds ?? spec?.terminationGracePeriodSeconds ?? 30;
}
