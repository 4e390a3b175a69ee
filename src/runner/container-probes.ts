import type { Clock } from '../base/clock.ts';
import { InterlinkError, messageOf } from '../base/errors.ts';
import type { Logger } from '../base/logger.ts';
import type { Container, Probe } from '../kube/types.ts';
import type { RunningContainer } from './container-runtime.ts';
import type { NewEvent } from './pod-recorder.ts';
import { ProbeEvents } from './probe-events.ts';
import type { ProbeResult } from './probe-result.ts';
import { runProbe } from './run-probe.ts';

export interface ContainerProbesDeps {
  readonly container: Container;
  readonly kind: 'init' | 'main';
  readonly running: RunningContainer;
  readonly podIP: string;
  readonly clock: Clock;
  readonly logger: Logger;
  /** The container has started: its startup probe has passed, or it has none. Called at most once. */
  readonly onStarted: () => void;
  /** Readiness has changed; a container is not ready until this says so. */
  readonly onReady: (isReady: boolean) => void;
  /** The container has to be restarted, within the probe's own grace time if it has one. Called at most once. */
  readonly onUnhealthy: (probe: 'liveness' | 'startup', probeGraceSeconds: number | undefined) => void;
  readonly onEvent: (event: NewEvent) => void;
}

type ProbeKind = 'startup' | 'liveness' | 'readiness';

/** How often a probe that finds nothing out is tried in a row. */
const TRIES = 3;

/**
 * Probes one run of a container, from its start until {@link close}. Each probe waits its initial delay from the start of the container, then probes
 * once in each period; the startup probe comes first and the others begin once it has passed. Nothing is called any more after {@link close}.
 *
 * @see https://kubernetes.io/docs/tasks/configure-pod-container/configure-liveness-readiness-startup-probes/
 */
export class ContainerProbes {
  readonly #deps: ContainerProbesDeps;
  readonly #events: ProbeEvents;
  /** Ends everything. */
  readonly #closed = new AbortController();
  /** Ends what would restart the container. */
  readonly #stopping = new AbortController();
  #isReady = false;

  constructor(deps: ContainerProbesDeps) {
    this.#deps = deps;
    this.#events = new ProbeEvents(deps.clock);
    queueMicrotask(() => this.#start());
  }

  /** The container is being stopped: readiness is watched on, nothing asks for a restart any more. */
  beginStop(): void {
    this.#stopping.abort();
  }

  /** The container has ended. */
  close(): void {
    this.#closed.abort();
  }

  #start(): void {
    const { container } = this.#deps;
    if (this.#closed.signal.aborted) return;
    if (container.startupProbe) this.#watch('startup', container.startupProbe);
    else this.#started();
  }

  #started(): void {
    const { container, onStarted, onReady } = this.#deps;
    onStarted();
    if (container.livenessProbe) this.#watch('liveness', container.livenessProbe);
    if (container.readinessProbe) this.#watch('readiness', container.readinessProbe);
    else if (!this.#closed.signal.aborted) onReady(true);
  }

  #watch(kind: ProbeKind, probe: Probe): void {
    const { logger, container } = this.#deps;
    const signals = [this.#closed.signal, ...(kind === 'readiness' ? [] : [this.#stopping.signal])];
    const signal = AbortSignal.any(signals);
    this.#run(kind, probe, signal).catch((error: unknown) => {
      if (!signal.aborted) logger.error('probe ended', { container: container.name, probe: kind, err: error });
    });
  }

  async #run(kind: ProbeKind, probe: Probe, signal: AbortSignal): Promise<void> {
    const { clock, running } = this.#deps;
    const periodMs = (probe.periodSeconds || 10) * 1000;
    const delayMs = (probe.initialDelaySeconds ?? 0) * 1000 - (clock.nowMs() - Date.parse(running.startedAt));
    if (delayMs > 0) await clock.sleep(delayMs, { signal });
    let last: boolean | undefined;
    let inARow = 0;
    for (let nextMs = clock.monotonicMs(); ; await clock.sleep(nextMs - clock.monotonicMs(), { signal })) {
      signal.throwIfAborted();
      const isGood = await this.#probe(kind, probe, signal);
      signal.throwIfAborted();
      // A probe that takes longer than its period is followed by the next one at once, but by one only.
      nextMs = Math.max(nextMs + periodMs, clock.monotonicMs());
      if (isGood === undefined) continue;
      inARow = isGood === last ? inARow + 1 : 1;
      last = isGood;
      const threshold = isGood ? probe.successThreshold || 1 : probe.failureThreshold || 3;
      if (inARow >= threshold && this.#conclude(kind, probe, isGood)) return;
    }
  }

  /** @returns whether this probe has done its work */
  #conclude(kind: ProbeKind, probe: Probe, isGood: boolean): boolean {
    const { onReady, onUnhealthy } = this.#deps;
    if (kind === 'readiness') {
      if (this.#isReady !== isGood) onReady(isGood);
      this.#isReady = isGood;
      return false;
    }
    if (!isGood) {
      // One request for a restart is enough.
      this.#stopping.abort();
      onUnhealthy(kind, probe.terminationGracePeriodSeconds);
      return true;
    }
    if (kind === 'startup') this.#started();
    return kind === 'startup';
  }

  /** Undefined when nothing could be found out. */
  async #probe(kind: ProbeKind, probe: Probe, signal: AbortSignal): Promise<boolean | undefined> {
    const name = `${kind[0]?.toUpperCase()}${kind.slice(1)}`;
    let result: ProbeResult | undefined;
    let fault: unknown;
    for (let tries = 0; result === undefined && tries < TRIES; tries += 1) {
      try {
        result = await runProbe(probe, this.#deps, signal);
      } catch (error) {
        signal.throwIfAborted();
        if (error instanceof InterlinkError && error.code === 'ContainerNotRunning') return undefined;
        fault = error;
      }
    }
    signal.throwIfAborted();
    if (result === undefined) {
      this.#tell('Unhealthy', `${name} probe errored and resulted in unknown state: ${messageOf(fault)}`);
      return undefined;
    }
    if (result.outcome === 'warning') this.#tell('ProbeWarning', `${name} probe warning: ${result.output}`);
    if (result.outcome === 'failure') this.#tell('Unhealthy', `${name} probe failed: ${result.output}`);
    return result.outcome !== 'failure';
  }

  #tell(reason: string, message: string): void {
    const { container, kind, onEvent } = this.#deps;
    const fieldPath = `spec.${kind === 'init' ? 'initContainers' : 'containers'}{${container.name}}`;
    if (this.#events.take()) onEvent({ type: 'Warning', reason, message, fieldPath });
  }
}
