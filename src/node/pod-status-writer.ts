import { isDeepStrictEqual } from 'node:util';
import { Backoff } from '../base/backoff.ts';
import type { Clock } from '../base/clock.ts';
import { isKind, isRetriable, messageOf } from '../base/errors.ts';
import type { Logger } from '../base/logger.ts';
import { Wakeable } from '../base/wakeable.ts';
import { PODS } from '../kube/kinds.ts';
import type { KubeClient } from '../kube/kube-client.ts';
import type { Pod, PodStatusFields } from '../kube/types.ts';
import { isDispensable, type StatusLabels, statusLabels } from './pod-status-labels.ts';
import { ownedStatus, podStatusPatch } from './pod-status-patch.ts';

/** Makes a status from the pod as the API server has it at the moment of writing. */
export type MakeStatus = (pod: Pod) => PodStatusFields;

export interface PodStatusWriterDeps {
  readonly kube: KubeClient;
  readonly clock: Clock;
  readonly logger: Logger;
  /** The newest state of the pod that is known. */
  readonly pod: () => Pod;
  /** Takes the state that the API server answered with. */
  readonly accept: (pod: Pod) => void;
  /** Called after each status that was written or given up. */
  readonly drained: () => void;
}

interface Step {
  readonly make: MakeStatus;
  readonly labels: StatusLabels;
  /** Monotonic time before which it need not be written. */
  readonly dueMs: number;
}

/** Waiting reasons change often while a job is submitted; only those that last are written. */
const MINOR_DELAY_MS = 1_000;

/**
 * Writes the statuses of one pod in order, one request at a time. While a request is under way, those that nobody would miss are dropped; what a
 * kubelet would have shown is kept. A status that the API server has already is not written. Failures are retried for ever, but for answers that a
 * repetition cannot change.
 */
export class PodStatusWriter {
  readonly #deps: PodStatusWriterDeps;
  /** Carried by the next status. */
  readonly #annotations: Record<string, string> = {};
  #steps: Step[] = [];
  #shown: StatusLabels | undefined;
  /** The one that a request is under way for. */
  #inFlight: Step | undefined;
  readonly #wakeable: Wakeable;
  #written: { readonly asked: unknown; readonly answered: unknown } | undefined;
  #refused = false;

  constructor(deps: PodStatusWriterDeps) {
    this.#deps = deps;
    this.#wakeable = new Wakeable(deps.clock);
  }

  /** Whether everything has been written or given up. */
  get isDrained(): boolean {
    return this.#steps.length === 0 && this.#inFlight === undefined;
  }

  /** Whether the API server would not take the last status. */
  get isRefused(): boolean {
    return this.#refused;
  }

  annotate(name: string, value: string): void {
    this.#annotations[name] = value;
  }

  /** Adds a status; `preview` is what it will look like. */
  add(make: MakeStatus, preview: PodStatusFields): void {
    const labels = statusLabels(preview);
    const last = (this.#steps.at(-1) ?? this.#inFlight)?.labels ?? this.#shown;
    const minor = last !== undefined && isDispensable(last, labels, last);
    const nowMs = this.#deps.clock.monotonicMs();
    const dueMs = minor ? (this.#steps.at(-1)?.dueMs ?? nowMs + MINOR_DELAY_MS) : nowMs;
    this.#steps.push({ make, labels, dueMs });
    this.#thin();
    this.#wakeable.wake();
  }

  /** Forgets what has not been written; the pod is gone. */
  clear(): void {
    this.#steps = [];
  }

  /** Until the signal aborts. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock } = this.#deps;
    const backoff = new Backoff({ initialMs: 500, maxMs: 60_000 });
    while (!signal.aborted) {
      const [step] = this.#steps;
      const waitMs = step === undefined ? undefined : step.dueMs - clock.monotonicMs();
      if (step === undefined || (waitMs !== undefined && waitMs > 0)) {
        await this.#wakeable.sleep(waitMs, signal);
        continue;
      }
      this.#steps.shift();
      this.#inFlight = step;
      try {
        await this.#write(step, signal);
        this.#shown = step.labels;
        backoff.reset();
      } catch (error) {
        if (signal.aborted) return;
        if (this.#isHopeless(error)) this.#refused = true;
        else {
          this.#inFlight = undefined;
          this.#steps.unshift(step);
          this.#thin();
          this.#deps.logger.warn('pod status not written, will retry', {
            err: messageOf(error),
            attempt: backoff.attempts,
          });
          await this.#pause(backoff.next(), signal);
        }
      } finally {
        this.#inFlight = undefined;
      }
      this.#deps.drained();
    }
  }

  async #write(step: Step, signal: AbortSignal): Promise<void> {
    const { kube, accept } = this.#deps;
    const pod = this.#deps.pod();
    const wanted = step.make(pod);
    const patch = podStatusPatch(pod, wanted, this.#annotations);
    this.#refused = false;
    if (patch === undefined) return;
    const asked = { ...ownedStatus(wanted), annotations: { ...this.#annotations } };
    // An API server that drops a field which it does not know would otherwise be asked for it for ever.
    if (this.#written && isDeepStrictEqual(this.#written, { asked, answered: ownedStatus(pod.status ?? {}) })) return;
    const { namespace = 'default', name = '' } = pod.metadata ?? {};
    const answer = await kube.patch(PODS, { namespace, name, subresource: 'status' }, patch, {
      type: 'strategic',
      signal,
    });
    this.#written = { asked, answered: ownedStatus(answer.status ?? {}) };
    accept(answer);
  }

  /**
   * Whether a repetition would have the same answer: the pod is gone or the status is not acceptable. A conflict is either a crowd of writers or
   * another pod of that name; of the latter the watch tells.
   */
  #isHopeless(error: unknown): boolean {
    if (isKind(error, 'NotFound')) return true;
    if (isRetriable(error) || isKind(error, 'Conflict', 'Unauthenticated', 'Forbidden')) return false;
    this.#deps.logger.error('the API server refuses a pod status', { err: messageOf(error) });
    return true;
  }

  async #pause(ms: number, signal: AbortSignal): Promise<void> {
    try {
      await this.#deps.clock.sleep(ms, { signal });
    } catch (error) {
      if (!signal.aborted) throw error;
    }
  }

  /** Drops steps between what was shown last and the newest one that nobody would miss. */
  #thin(): void {
    const kept: Step[] = [];
    this.#steps.forEach((step, index) => {
      const next = this.#steps[index + 1];
      const before = (kept.at(-1) ?? this.#inFlight)?.labels ?? this.#shown;
      if (next && before && isDispensable(before, step.labels, next.labels)) return;
      kept.push(step);
    });
    this.#steps = kept;
  }
}
