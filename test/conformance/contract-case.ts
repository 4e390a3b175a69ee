import type { PodBundle } from '../../src/contract/pod-bundle.ts';
import type { CallOptions, Sidecar } from '../../src/contract/sidecar.ts';
import type { MemorySidecar } from '../fakes/memory-sidecar.ts';

/** What a case works with: a sidecar, however it is reached, and the hand that moves its pods. */
export interface CaseTarget {
  readonly sidecar: Sidecar;
  readonly memory: MemorySidecar;
  readonly call: CallOptions;
}

/** One rule of the contract. Ids are stable; `source` is the sentence that it comes from. */
export interface ContractCase {
  readonly id: string;
  readonly title: string;
  readonly source: string;
  run(target: CaseTarget): Promise<void>;
}

export function uidOf(bundle: PodBundle): string {
  return bundle.pod.metadata?.uid ?? '';
}
