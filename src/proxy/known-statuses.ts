import type { PodStatus } from '../contract/pod-status.ts';

/** The last that was heard of each pod, and from which sidecar. */
export class KnownStatuses {
  readonly #byUid = new Map<string, { readonly sidecar: string; readonly status: PodStatus }>();

  get(uid: string): PodStatus | undefined {
    return this.#byUid.get(uid)?.status;
  }

  set(sidecar: string, status: PodStatus): void {
    this.#byUid.set(status.uid, { sidecar, status });
  }

  delete(uid: string): void {
    this.#byUid.delete(uid);
  }

  /** UIDs that `sidecar` was last heard to have. */
  uidsOf(sidecar: string): readonly string[] {
    return [...this.#byUid].filter(([, entry]) => entry.sidecar === sidecar).map(([uid]) => uid);
  }
}
