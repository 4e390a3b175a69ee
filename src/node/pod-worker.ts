import type { Logger } from '../base/logger.ts';
import { Wakeable } from '../base/wakeable.ts';
import type { WaitingReason } from '../contract/container-status.ts';
import type { PodStatus } from '../contract/pod-status.ts';
import { isNewer } from '../kube/is-newer.ts';
import { isTerminalPhase } from '../kube/pod-phase.ts';
import type { Container, Pod } from '../kube/types.ts';
import { PodAbsence } from './pod-absence.ts';
import type { Rejection } from './pod-admission.ts';
import { type NodeWord, PodDisplay } from './pod-display.ts';
import { PodEvents } from './pod-events.ts';
import { PodRemoval } from './pod-removal.ts';
import { wasAtSite } from './pod-shown.ts';
import { PodStart } from './pod-start.ts';
import { PodVolumeFeed, type PodVolumeFeedDeps } from './pod-volume-feed.ts';
import type { PodWorkerDeps } from './pod-worker-deps.ts';
import { runLevelLoop } from './run-level-loop.ts';

/** Conflicts in a row, about half a minute, after which a pod of which the site denies any knowledge cannot be started. */
const MAX_CONFLICTS = 5;

/**
 * One pod from its appearance to the end of everything that belongs to it. Level-triggered: each wake-up looks at the pod in the API and at the site and
 * does what is next; what failed is repeated for ever. Statuses are written beside that, so that a slow site delays none.
 */
export class PodWorker {
  readonly uid: string;
  readonly #wake = (): void => this.#wakeable.wake();
  readonly #deps: PodWorkerDeps;
  readonly #logger: Logger;
  readonly #wakeable: Wakeable;
  readonly #display: PodDisplay;
  readonly #events: PodEvents;
  readonly #start: PodStart;
  readonly #volumes: PodVolumeFeed;
  readonly #removal: PodRemoval;
  readonly #absence: PodAbsence;
  readonly #done = new AbortController();
  /** Whether it had gone before this process saw it; nobody looks for its events any more. */
  readonly #isStray: boolean;
  /** Whether an earlier process had taken up the pod. */
  readonly #inherited: boolean;
  #pod: Pod;
  /** The object is gone from the API. */
  #isGone: boolean;
  #isAtSite = false;
  /** Nothing of it runs or will run. */
  #isOver = false;
  #failure: WaitingReason | undefined;
  #rejection: Rejection | undefined;
  #waiting: ((container: Container) => WaitingReason | undefined) | undefined;
  #conflicts = 0;
  #attempt: AbortController | undefined;

  /** @param isGone the pod is a left-over of the site: the API has no such object, `pod` is just its metadata */
  constructor(deps: PodWorkerDeps, pod: Pod, isGone = false) {
    const { metadata: { namespace, name, uid = '' } = {}, status } = pod;
    this.uid = uid;
    this.#deps = deps;
    this.#pod = pod;
    this.#isGone = this.#isStray = isGone;
    this.#inherited = isGone || status?.startTime !== undefined;
    this.#isOver = isTerminalPhase(status?.phase);
    this.#logger = deps.logger.child({ namespace, pod: name, podUid: uid });
    this.#wakeable = new Wakeable(deps.clock);
    this.#events = new PodEvents(deps, pod);
    const seenAt = status?.startTime ?? new Date(deps.clock.nowMs()).toISOString();
    const own = { ...deps, logger: this.#logger, pod: () => this.#pod };
    const record: PodVolumeFeedDeps['record'] = (event) => this.#events.record(this.#pod, event);
    this.#volumes = new PodVolumeFeed({ ...deps.start, ...deps.volumes, ...own, record, seenAt });
    this.#start = new PodStart(deps.start, seenAt, () => {
      this.#volumes.changed();
      this.#wake();
    });
    this.#display = new PodDisplay({ ...own, accept: (answer) => void this.#accept(answer), written: this.#wake }, pod);
    this.#removal = new PodRemoval(own);
    this.#absence = new PodAbsence(own, deps.limits.lostAfterMs);
    if (this.#inherited && !this.#isGone && !this.#isOver) deps.admission.admit(pod, {}, true);
    const known = deps.site.get(uid);
    if (known) this.onStatus(known);
  }

  /** The pod as it is known here. */
  get pod(): Pod {
    return this.#pod;
  }

  /** Whether the site should know the pod, so that it is worth asking. */
  get isExpectedAtSite(): boolean {
    return !this.#isOver && this.#mayBeAtSite;
  }

  get #mayBeAtSite(): boolean {
    return this.#isAtSite || this.#inherited || this.#start.mayBeKnown;
  }

  /** The API server has another state of the pod. */
  onPod(pod: Pod): void {
    const before = this.#pod;
    if (!this.#accept(pod)) return;
    const { deletionTimestamp, deletionGracePeriodSeconds } = pod.metadata ?? {};
    if (deletionTimestamp && (!before.metadata?.deletionTimestamp || deletionGracePeriodSeconds === 0))
      this.#attempt?.abort(new Error('the pod is being deleted'));
    if (this.#display.shown || this.#waiting || this.#isOver) this.#show();
    this.#wake();
  }

  /** The object is gone from the API. */
  onGone(): void {
    this.#isGone = true;
    this.#volumes.end();
    this.#display.clear();
    this.#attempt?.abort(new Error('the pod is gone'));
    this.#wake();
  }

  /** The site says something about the pod. */
  onStatus(status: PodStatus): void {
    this.#isAtSite = true;
    this.#absence.end();
    this.#waiting = undefined;
    if (!this.#isStray) this.#events.take(this.#pod, status);
    if (!this.#isGone) this.#display.take(status, this.#word());
    if (status.sandbox === 'Gone') this.#end();
    this.#wake();
  }

  /** The site answers again: what failed is tried at once and not at the end of its pause. */
  onSiteBack(): void {
    this.#volumes.retry();
    this.#wake();
  }

  /** The site has given a full answer without the pod. */
  onAbsent(): void {
    this.#absence.notice();
    this.#wake();
  }

  /** Until everything that belongs to the pod has ended and its object is gone, or the signal aborts. */
  async run(signal: AbortSignal): Promise<void> {
    const both = AbortSignal.any([signal, this.#done.signal]);
    try {
      const loop = { wakeable: this.#wakeable, logger: this.#logger, advance: () => this.#advance(both) };
      await Promise.all([this.#display.run(both), runLevelLoop(loop, both), this.#volumes.run(both)]);
    } finally {
      this.#done.abort();
      this.#start[Symbol.dispose]();
    }
  }

  /** Does what is next; gives the time after which to look again, undefined for when something changes. */
  async #advance(signal: AbortSignal): Promise<number | undefined> {
    const pod = this.#pod;
    if (this.#isGone) return this.#cleanUp(signal);
    if (pod.metadata?.deletionTimestamp) return this.#remove(signal);
    if (isTerminalPhase(pod.status?.phase)) {
      // Ended by somebody else (eviction, garbage collection): what runs of it has to stop.
      const known = this.#deps.site.get(this.uid);
      return known && known.sandbox !== 'Gone' ? this.#removal.ask(pod, signal) : undefined;
    }
    if (this.#isOver) return undefined;
    if (this.#isAtSite) {
      // Here no attempt to create it is under way, whose contents would be those that the site has.
      this.#start[Symbol.dispose]();
      this.#volumes.begin();
      return this.#absence.isNoticed ? this.#search(signal) : undefined;
    }
    if (this.#inherited && !this.#deps.site.isSynced) return undefined;
    if (wasAtSite(pod)) return this.#search(signal);
    return this.#begin(signal);
  }

  async #begin(signal: AbortSignal): Promise<number | undefined> {
    const rejection = this.#deps.admission.admit(this.#pod, this.#deps.allocatable(), this.#inherited);
    if (rejection) {
      this.#rejection = rejection;
      this.#logger.info('pod rejected', { reason: rejection.reason });
      this.#events.record(this.#pod, { type: 'Warning', ...rejection });
      this.#end();
      return undefined;
    }
    if (!this.#waiting) {
      this.#waiting = () => undefined;
      this.#show();
    }
    this.#attempt = new AbortController();
    try {
      const outcome = await this.#start.attempt(this.#pod, AbortSignal.any([signal, this.#attempt.signal]));
      if ('events' in outcome) for (const event of outcome.events) this.#events.record(this.#pod, event);
      switch (outcome.kind) {
        case 'created':
          this.#logger.info('pod submitted', { jobId: outcome.jobId });
          this.#isAtSite = true;
          this.#absence.end();
          this.#display.setJob(outcome.jobId);
          this.#volumes.begin(outcome.content);
          this.#waiting = () => ({ reason: 'Queued', message: `job ${outcome.jobId} has been taken by the site` });
          if (!this.#deps.site.get(this.uid)) this.#show();
          return undefined;
        case 'refused':
          this.#logger.warn('pod refused by the site', { err: outcome.message });
          this.#fail('UnexpectedAdmissionError', outcome.message);
          return undefined;
        case 'conflict':
          if (await this.#ask(signal)) return undefined;
          this.#conflicts += 1;
          if (this.#conflicts >= MAX_CONFLICTS) this.#fail('UnexpectedAdmissionError', outcome.message);
          return outcome.retryMs;
        case 'waits':
          this.#logger.info('pod waits', { err: outcome.cause, retryMs: Math.round(outcome.retryMs) });
          this.#waiting = outcome.waiting;
          this.#show();
          return outcome.retryMs;
      }
    } catch (error) {
      // The attempt was ended because the pod is to go; what comes next is its removal.
      if (this.#attempt.signal.aborted && !signal.aborted) return 0;
      throw error;
    } finally {
      this.#attempt = undefined;
    }
  }

  /** Looks for a pod that the site should know; gives it up only after a long time. */
  async #search(signal: AbortSignal): Promise<number | undefined> {
    if (await this.#ask(signal)) return undefined;
    const verdict = this.#absence.judge(this.#pod);
    if ('askAgainMs' in verdict) return verdict.askAgainMs;
    this.#fail('NodeLost', verdict.lost);
    return undefined;
  }

  /** Asks the site for the pod alone; whether it knows it. */
  async #ask(signal: AbortSignal): Promise<boolean> {
    const [status] = await this.#deps.sidecar.status([this.#pod], { signal, session: this.uid });
    if (status) this.onStatus(status);
    return status !== undefined;
  }

  async #remove(signal: AbortSignal): Promise<number | undefined> {
    if (!this.#isOver) {
      const waitMs = this.#mayBeAtSite ? await this.#removal.stop(this.#pod, () => this.#ask(signal), signal) : 0;
      if (this.#isOver) return 0;
      if (waitMs > 0) return waitMs;
      this.#end();
    }
    if (!this.#display.isDrained) return undefined;
    if (!isTerminalPhase(this.#pod.status?.phase) && !this.#display.isRefused) {
      this.#show();
      return undefined;
    }
    await this.#removal.finalize(this.#pod, signal);
    return undefined;
  }

  /** Ends what is left of a pod whose object is gone. */
  async #cleanUp(signal: AbortSignal): Promise<number | undefined> {
    if (this.#mayBeAtSite) {
      const waitMs = await this.#removal.stopNow(this.#pod, this.#isOver, () => this.#deps.site.get(this.uid), signal);
      if (waitMs > 0) return waitMs;
    }
    this.#deps.admission.release(this.uid);
    this.#done.abort();
    return undefined;
  }

  #fail(reason: string, message: string): void {
    this.#failure = { reason, message };
    this.#events.record(this.#pod, { type: 'Warning', reason, message });
    this.#end();
  }

  #end(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#volumes.end();
    this.#deps.admission.release(this.uid);
    this.#start[Symbol.dispose]();
    if (this.#display.shown?.sandbox !== 'Gone') this.#show();
    this.#wake();
  }

  #show(): void {
    if (!this.#isGone) this.#display.refresh(this.#word());
  }

  #word(): NodeWord {
    return { isOver: this.#isOver, failure: this.#failure, rejection: this.#rejection, waiting: this.#waiting };
  }

  /** Takes a newer state of the pod; false for one that is as old as what is known. */
  #accept(pod: Pod): boolean {
    if (!isNewer(pod, this.#pod)) return false;
    const { managedFields: _dropped, ...metadata } = pod.metadata ?? {};
    this.#volumes.podChanged(this.#pod, pod);
    this.#pod = { ...pod, metadata };
    return true;
  }
}
