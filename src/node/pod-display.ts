import type { WaitingReason } from '../contract/container-status.ts';
import { derivePodStatus } from '../contract/derive-pod-status.ts';
import type { PodStatus, SandboxState } from '../contract/pod-status.ts';
import type { Container, Pod, PodStatusFields } from '../kube/types.ts';
import type { Rejection } from './pod-admission.ts';
import { rejectedPodStatus } from './pod-rejection.ts';
import { JOB_ANNOTATION, shownStatus } from './pod-shown.ts';
import { stepsBetween } from './pod-status-steps.ts';
import { PodStatusWriter, type PodStatusWriterDeps } from './pod-status-writer.ts';

/** The life of a sandbox. */
const ORDER: readonly SandboxState[] = ['Waiting', 'Ready', 'Gone'];

export interface PodDisplayDeps extends Omit<PodStatusWriterDeps, 'drained'> {
  readonly hostIPs: readonly string[];
  /** Called after each status that was written or given up. */
  readonly written: () => void;
}

/** What the node itself has to say about a pod, beside the site. */
export interface NodeWord {
  /** Nothing of the pod runs or will run. */
  readonly isOver: boolean;
  readonly failure?: WaitingReason | undefined;
  readonly rejection?: Rejection | undefined;
  /** Why containers wait as long as the site says nothing. */
  readonly waiting?: ((container: Container) => WaitingReason | undefined) | undefined;
}

/** Turns what the site and the node know of one pod into statuses, in the order in which a kubelet would show them, and has them written. */
export class PodDisplay {
  readonly #deps: PodDisplayDeps;
  readonly #writer: PodStatusWriter;
  #shown: PodStatus | undefined;
  /** The pod's status once everything is written. */
  #preview: PodStatusFields | undefined;

  /** @param pod as the API server had it when this process saw it first */
  constructor(deps: PodDisplayDeps, pod: Pod) {
    this.#deps = deps;
    this.#shown = shownStatus(pod);
    this.#writer = new PodStatusWriter({
      ...deps,
      drained: () => {
        if (this.#writer.isDrained) this.#preview = undefined;
        deps.written();
      },
    });
  }

  /** What the site said last, or what an earlier process showed. */
  get shown(): PodStatus | undefined {
    return this.#shown;
  }

  /** Whether everything has been written or given up. */
  get isDrained(): boolean {
    return this.#writer.isDrained;
  }

  /** Whether the API server would not take the last status. */
  get isRefused(): boolean {
    return this.#writer.isRefused;
  }

  /** Has the id of the job written with the next status. */
  setJob(jobId: string | undefined): void {
    if (jobId) this.#writer.annotate(JOB_ANNOTATION, jobId);
  }

  /** Shows a new status of the site, with what came between it and the one before. One that goes back in time is an answer that was overtaken. */
  take(status: PodStatus, word: NodeWord): void {
    this.setJob(status.jobId);
    if (this.#shown && ORDER.indexOf(status.sandbox) < ORDER.indexOf(this.#shown.sandbox)) return;
    const steps = stepsBetween(this.#deps.pod(), this.#shown, status);
    this.#shown = status;
    for (const step of steps) this.#add(step, { ...word, isOver: word.isOver && step === status });
  }

  /** Shows the last status of the site again, as what the node has to say or the pod has changed. */
  refresh(word: NodeWord): void {
    this.#add(this.#shown, word);
  }

  /** Drops what has not been written: the pod is gone. */
  clear(): void {
    this.#writer.clear();
  }

  /** Writes until the signal aborts. */
  run(signal: AbortSignal): Promise<void> {
    return this.#writer.run(signal);
  }

  #add(site: PodStatus | undefined, word: NodeWord): void {
    const { clock, hostIPs, pod } = this.#deps;
    const { isOver, failure, rejection, waiting } = word;
    const make = (current: Pod): PodStatusFields =>
      rejection
        ? rejectedPodStatus(current, rejection, clock.nowMs())
        : derivePodStatus(current, site, {
            nowMs: clock.nowMs(),
            hostIPs,
            over: isOver,
            ...(waiting ? { waiting } : {}),
            ...(failure ? { failure } : {}),
          });
    this.#preview = make(this.#preview ? { ...pod(), status: this.#preview } : pod());
    this.#writer.add(make, this.#preview);
  }
}
