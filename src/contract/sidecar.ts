import type { Pod, Taint } from '../kube/types.ts';
import type { CapabilityDocument } from './capabilities.ts';
import type { PodBundle } from './pod-bundle.ts';
import type { PodRef } from './pod-ref.ts';
import type { PodStatus } from './pod-status.ts';
import type { VolumeUpdate } from './volume-update.ts';

/** What every call of a {@link Sidecar} takes. */
export interface CallOptions {
  /** Aborting rejects with `signal.reason`; what the call did before stays done. */
  readonly signal: AbortSignal;
  /** Correlates the log lines of all hops; sent as `InterLink-Http-Session`. */
  readonly session?: string;
}

/** Answer to a create, the same for every repetition. */
export interface CreateResult {
  readonly uid: string;
  readonly jobId: string;
}

/** Options of `kubectl logs`, with Kubernetes' meaning; an absent one is unset, so `tailLines: 0` is expressible. */
export interface LogOptions {
  readonly tailLines?: number;
  readonly limitBytes?: number;
  readonly sinceSeconds?: number;
  /** RFC 3339. */
  readonly sinceTime?: string;
  readonly timestamps?: boolean;
  readonly follow?: boolean;
  readonly previous?: boolean;
  /**
   * Not an option of kubectl: the attempt that is meant, by its restart count. It wins over `previous`. Only the last two are kept; a site that does
   * not know this option gives the newest.
   */
  readonly attempt?: number;
}

/** Which log of which pod. */
export interface LogRequest extends PodRef {
  readonly container: string;
  readonly options: LogOptions;
}

/** A kind of device that the site offers. */
export interface Accelerator {
  /** Kubernetes resource name, e.g. `nvidia.com/gpu`. */
  readonly resourceType: string;
  /** Total that this node may use, as a quantity. */
  readonly available: string;
}

/** What the site offers now; quantities are totals usable by this node, its own pods included. */
export interface SiteResources {
  readonly cpu?: string;
  readonly memory?: string;
  readonly pods?: string;
  readonly accelerators?: readonly Accelerator[];
}

/** The site's answer to a ping. */
export interface PingResult {
  readonly status: 'ok';
  readonly resources?: SiteResources;
  /** Absent: leave the node's taints alone. Empty: no taints. */
  readonly taints?: readonly Taint[];
}

/** One line of `GET /watch`. The first is a `SNAPSHOT`; a `HEARTBEAT` comes at least every 15 s. */
export type WatchEvent =
  | { readonly type: 'SNAPSHOT'; readonly items: readonly PodStatus[] }
  | { readonly type: 'STATUS'; readonly item: PodStatus }
  /** The sidecar has forgotten the pod: it was deleted and its retention is over. */
  | { readonly type: 'DELETED'; readonly uid: string }
  | { readonly type: 'HEARTBEAT' };

/**
 * A place that runs pods. Back ends implement it, `RemoteSidecar` speaks it over HTTP, the proxy takes one and serves one.
 *
 * Rules for every implementation: the pod's UID is the key; calls may be repeated and may run concurrently; objects passed in are not
 * changed; a back end that cannot be reached makes a call fail with `Unavailable` and changes no pod.
 */
export interface Sidecar extends AsyncDisposable {
  /** What this sidecar is and can; constant over its life. */
  capabilities(options: CallOptions): Promise<CapabilityDocument>;

  /**
   * Takes the pod and answers once it is durably known here and its job id is known. Idempotent by UID: the same content gives the same job. Objects of volumes
   * are live and no part of that content: those of a repetition count as {@link updateVolumes} where it is declared.
   * @throws Invalid when the pod can never run here (the message names the field), Conflict when the UID is known with another content
   * or was deleted, Unavailable or DeadlineExceeded when a retry may help; the pod may have been taken even so.
   */
  create(bundle: PodBundle, options: CallOptions): Promise<CreateResult>;

  /**
   * Asks for the pod's end and answers once that wish is durable; the end comes in the background and shows in the status. The grace period is
   * `metadata.deletionGracePeriodSeconds`, else `spec.terminationGracePeriodSeconds`, else 30; 0 kills at once; a second call may shorten
   * it. An unknown UID is remembered too, so that a create still under way for it is refused. Succeeds for unknown, finished and deleted pods.
   */
  delete(pod: Pod, options: CallOptions): Promise<void>;

  /**
   * The status of each given pod that is known here, in any order; unknown ones are left out. One call for any number of pods, answered from
   * memory.
   */
  status(pods: readonly Pod[], options: CallOptions): Promise<readonly PodStatus[]>;

  /**
   * The container's log as bytes, ended by the end of what there is or, with `follow`, by the end of the container.
   * @throws NotFound for an unknown pod or container, Invalid when the container has not started or there is no previous one; the message is
   * the kubelet's.
   */
  logs(request: LogRequest, options: CallOptions): Promise<AsyncIterable<Uint8Array>>;

  /** @throws Unavailable when the back end does not answer. */
  ping(options: CallOptions): Promise<PingResult>;

  /**
   * Takes new content of volumes and answers once it is durable: containers that start later have it, and running ones see it soon, each volume changed in one
   * step. The same content again changes nothing; calls for one pod count in the order of their coming. Succeeds for a pod that has ended.
   * @throws Unsupported unless `volumes` is declared, NotFound for an unknown pod, Invalid when it has no such volume or the content cannot be that of one.
   */
  updateVolumes(update: VolumeUpdate, options: CallOptions): Promise<void>;

  /**
   * A full snapshot, then each change, until `signal` aborts or the source fails.
   * @throws Unsupported unless `watch` is declared.
   */
  watch(options: CallOptions): AsyncIterable<WatchEvent>;
}
