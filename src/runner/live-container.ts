import { messageOf } from '../base/errors.ts';
import type { ContainerStatus, LifecycleHandler } from '../kube/types.ts';
import { ContainerProbes } from './container-probes.ts';
import { fieldPathOf } from './container-role.ts';
import type { ContainerExit, RunningContainer } from './container-runtime.ts';
import type { NewEvent } from './pod-recorder.ts';
import type { Attempt, RunAttemptDeps } from './run-attempt.ts';
import { runHook } from './run-hook.ts';
import { type ContainerToStop, stopContainer } from './stop-container.ts';
import { StopControl } from './stop-control.ts';
import { wholeSeconds } from './whole-seconds.ts';

/** How a container that had started came to its end. */
export interface ContainerEnd extends ContainerExit {
  /** Whether it had been told to stop. */
  readonly wasStopped: boolean;
  /** A probe had it stopped so that it is started again. */
  readonly isUnhealthy: boolean;
  /** Why its postStart hook failed; it was stopped for that. */
  readonly hookFailure?: string;
}

/**
 * A container whose first process runs: its hooks, its probes, its stop. `status` is recorded with the state once the postStart hook has ended well; until then a kubelet
 * shows it as waiting.
 */
export class LiveContainer {
  readonly #run: Attempt;
  readonly #running: RunningContainer;
  readonly #status: Partial<ContainerStatus>;
  readonly #deps: RunAttemptDeps;
  readonly #fieldPath: string;
  #probes: ContainerProbes | undefined;
  #stopping: Promise<void> | undefined;
  #isUnhealthy = false;
  #hookFailure: string | undefined;

  constructor(run: Attempt, running: RunningContainer, status: Partial<ContainerStatus>, deps: RunAttemptDeps) {
    this.#run = run;
    this.#running = running;
    this.#status = status;
    this.#deps = deps;
    this.#fieldPath = fieldPathOf(run.role, run.container.name);
  }

  /** Sees the container to its end; called once. */
  async end(): Promise<ContainerEnd> {
    const { stop } = this.#deps;
    const ended = new AbortController();
    const exited = this.#running.exited.finally(() => ended.abort());
    if (stop.signal.aborted) this.#stopWithPod();
    else stop.signal.addEventListener('abort', () => this.#stopWithPod(), { once: true, signal: ended.signal });
    const postStart = this.#run.container.lifecycle?.postStart;
    const created = [this.#normal('Created', 'Container created'), this.#normal('Started', 'Container started')];
    if (!postStart) this.#begin(created);
    else {
      this.#deps.recorder.change({}, {}, created);
      if (await this.#runPostStart(postStart, ended.signal)) this.#begin([]);
    }
    this.#run.onAttempted();
    const exit = await exited;
    this.#probes?.close();
    const wasStopped = this.#stopping !== undefined;
    const hookFailure = this.#hookFailure === undefined ? {} : { hookFailure: this.#hookFailure };
    return { ...exit, wasStopped, isUnhealthy: this.#isUnhealthy, ...hookFailure };
  }

  /** Records that it runs and lets its probes begin. */
  #begin(events: readonly NewEvent[]): void {
    const { container, role, onStarted } = this.#run;
    const { recorder, network, clock, logger } = this.#deps;
    const { startupProbe, readinessProbe } = container;
    const state = { running: { startedAt: wholeSeconds(this.#running.startedAt) } };
    const started = role === 'init' || !startupProbe;
    const ready = role !== 'init' && started && !readinessProbe;
    recorder.change({ podIP: network.podIP }, { [container.name]: { ...this.#status, state, ready, started } }, events);
    if (role === 'init') return;
    this.#probes = new ContainerProbes({
      container,
      kind: role === 'main' ? 'main' : 'init',
      running: this.#running,
      podIP: network.podIP,
      clock,
      logger,
      onStarted: () => {
        this.#change({ started: true, ready: !readinessProbe });
        onStarted();
      },
      onReady: (isReady) => this.#change({ ready: isReady }),
      onUnhealthy: (probe, probeGraceSeconds) => this.#stopUnhealthy(probe, probeGraceSeconds),
      onEvent: (event) => recorder.change({}, {}, [event]),
    });
    if (this.#stopping) this.#probes.beginStop();
  }

  #change(wanted: { readonly ready?: boolean; readonly started?: boolean }): void {
    const { recorder } = this.#deps;
    const { name } = this.#run.container;
    const { ready, started } = recorder.of(name);
    if ((wanted.ready ?? ready) !== ready || (wanted.started ?? started) !== started)
      recorder.change({}, { [name]: wanted }, []);
  }

  /** @returns whether the container goes on */
  async #runPostStart(hook: LifecycleHandler, ended: AbortSignal): Promise<boolean> {
    const { container } = this.#run;
    const { stop, recorder, network, clock, logger, graceSeconds } = this.#deps;
    const signal = AbortSignal.any([stop.signal, ended]);
    try {
      await runHook(hook, { container, running: this.#running, podIP: network.podIP, clock, logger, signal });
      return true;
    } catch (error) {
      if (stop.signal.aborted) return true;
      logger.warn('postStart hook failed', { container: container.name, err: error });
      this.#hookFailure = ended.aborted ? 'the container ended before its postStart hook' : messageOf(error);
      // The reason may hold secrets: a kubelet keeps it out of the event.
      const message = 'PostStartHook failed';
      recorder.change({}, {}, [
        { type: 'Warning', reason: 'FailedPostStartHook', message, fieldPath: this.#fieldPath },
      ]);
      this.#stopAlone('FailedPostStartHook', graceSeconds);
      return false;
    }
  }

  #stopWithPod(): void {
    const { order, stop } = this.#deps;
    const { name } = this.#run.container;
    this.#stop({ message: `Stopping container ${name}`, grace: stop, turn: order.turnOf(name) });
  }

  /** @see https://github.com/kubernetes/kubernetes/blob/v1.36.3/pkg/kubelet/kuberuntime/kuberuntime_manager.go computePodActions */
  #stopUnhealthy(probe: 'liveness' | 'startup', probeGraceSeconds: number | undefined): void {
    const { container, role } = this.#run;
    const { pod, stop, graceSeconds, isLastMain } = this.#deps;
    const { name } = container;
    const mayRestart = role === 'sidecar' || pod.spec?.restartPolicy !== 'Never';
    // Nothing would be left that the pod is for: a kubelet then stops the pod, and the grace of the probe does not count.
    if (!mayRestart && isLastMain(name)) {
      stop.request(graceSeconds);
      return;
    }
    this.#isUnhealthy = mayRestart;
    const what = role === 'sidecar' ? 'Init container' : 'Container';
    const then = role === 'main' && mayRestart ? ', will be restarted' : '';
    this.#stopAlone(`${what} ${name} failed ${probe} probe${then}`, probeGraceSeconds ?? graceSeconds);
  }

  /** Stops the container and not the pod; when that is stopped in the meantime the shorter grace counts. */
  #stopAlone(message: string, graceSeconds: number): void {
    const { stop, clock } = this.#deps;
    const own = new StopControl(clock);
    own.request(graceSeconds);
    const over = AbortSignal.any([own.over, stop.over]);
    this.#stop({ message, grace: { over, forced: stop.forced }, turn: Promise.resolve() });
    void this.#stopping?.finally(() => own.close());
  }

  #stop(how: Pick<ContainerToStop, 'message' | 'grace' | 'turn'>): void {
    if (this.#stopping) return;
    this.#probes?.beginStop();
    const { container } = this.#run;
    const target = { container, fieldPath: this.#fieldPath, running: this.#running, ...how };
    this.#stopping = stopContainer(target, this.#deps);
  }

  #normal(reason: string, message: string): NewEvent {
    return { type: 'Normal', reason, message, fieldPath: this.#fieldPath };
  }
}
