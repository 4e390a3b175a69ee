import type { Clock } from '../base/clock.ts';
import type { Logger } from '../base/logger.ts';
import type { Pod } from '../kube/types.ts';
import { JOB_ANNOTATION } from './pod-shown.ts';

/** A question to the site is repeated after this time. */
const ASK_AGAIN_MS = 30_000;

/** How long a site has denied any knowledge of a pod that it has had. */
export class PodAbsence {
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #lostAfterMs: number;
  #sinceMs: number | undefined;

  constructor(deps: { readonly clock: Clock; readonly logger: Logger }, lostAfterMs: number) {
    this.#clock = deps.clock;
    this.#logger = deps.logger;
    this.#lostAfterMs = lostAfterMs;
  }

  get isNoticed(): boolean {
    return this.#sinceMs !== undefined;
  }

  /** The site has given a full answer without the pod. */
  notice(): void {
    this.#sinceMs ??= this.#clock.monotonicMs();
  }

  /** The site knows the pod. */
  end(): void {
    this.#sinceMs = undefined;
  }

  /** After the site has denied the pod when asked for it alone: the time after which to ask again, or why the pod is given up. */
  judge(pod: Pod): { readonly askAgainMs: number } | { readonly lost: string } {
    this.notice();
    const absentMs = this.#clock.monotonicMs() - (this.#sinceMs ?? 0);
    if (absentMs < this.#lostAfterMs) {
      this.#logger.warn('the site does not know the pod', { absentMs: Math.round(absentMs) });
      return { askAgainMs: Math.min(ASK_AGAIN_MS, this.#lostAfterMs - absentMs) };
    }
    const job = pod.metadata?.annotations?.[JOB_ANNOTATION];
    const which = job === undefined ? '' : ` (job ${job})`;
    const seconds = Math.round(absentMs / 1000);
    return {
      lost: `the site has not known the pod${which} for ${seconds} s; what became of its containers is unknown`,
    };
  }
}
