import type { Clock } from '../base/clock.ts';
import type { Container } from '../kube/types.ts';
import type { RunningContainer } from './container-runtime.ts';

/** What a probe found out. A warning counts as success; its text and that of a failure are a kubelet's. */
export type ProbeResult =
  | { readonly outcome: 'success' }
  | { readonly outcome: 'warning' | 'failure'; readonly output: string };

/** What a probe or a hook acts on. */
export interface ProbeTarget {
  readonly container: Container;
  readonly running: RunningContainer;
  readonly podIP: string;
  readonly clock: Clock;
}

/** Healthy. */
export const SUCCESS: ProbeResult = { outcome: 'success' };

/** Not healthy; `output` says why. */
export function failure(output: string): ProbeResult {
  return { outcome: 'failure', output };
}

/** What a kubelet keeps of the output of a program and of the body of a response. */
export const MAX_PROBE_OUTPUT_BYTES = 10 * 1024;

/** The release whose kubelet these probes are like; servers tell probes by the first word of `kube-probe/1.36`. */
export const PROBE_VERSION = '1.36';
