import type { ResourceKind } from './kinds.ts';

export interface KubeCallOptions {
  /** Aborting rejects with `signal.reason`; what the server did before stays done. */
  readonly signal: AbortSignal;
}

/** Names one object, or with `subresource` (`status`, `token`, `log`) a part of it. */
export interface ObjectRef {
  /** Absent for kinds without namespaces. */
  readonly namespace?: string;
  readonly name: string;
  readonly subresource?: string;
}

/** Which objects of a kind. */
export interface ListQuery {
  /** All namespaces when absent. */
  readonly namespace?: string;
  readonly fieldSelector?: string;
  readonly labelSelector?: string;
}

/** Some of the objects of a list. */
export interface ListPage<T> {
  readonly items: T[];
  readonly resourceVersion: string;
}

/** Which objects to follow, from where and for how long. */
export interface WatchQuery extends ListQuery {
  /** Start after this version; with `sendInitialEvents` it may be absent. */
  readonly resourceVersion?: string;
  /** Begin with an ADDED for everything there is, ended by a bookmark with the annotation `k8s.io/initial-events-end`. */
  readonly sendInitialEvents?: boolean;
  /** After this time the server ends the watch in good order. */
  readonly timeoutSeconds: number;
  /** Without any byte for this long the watch fails with `DeadlineExceeded`. */
  readonly idleMs: number;
}

/** Every object of a watch is the server's JSON as it came; a BOOKMARK carries only `metadata`. */
export interface KubeWatchEvent<T> {
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED' | 'BOOKMARK';
  readonly object: T;
}

/** How the server reads a patch. `strategic` merges lists by their keys and works for built-in kinds only. @see https://kubernetes.io/docs/reference/using-api/api-concepts/#patch-and-apply */
export type PatchType = 'json' | 'merge' | 'strategic' | 'apply';

export interface PatchOptions extends KubeCallOptions {
  readonly type: PatchType;
  /** Only for `apply`, where it is required. */
  readonly fieldManager?: string;
  /** Only for `apply`: take fields over from other managers. */
  readonly force?: boolean;
}

export interface DeleteOptions extends KubeCallOptions {
  readonly gracePeriodSeconds?: number;
  /** The object is deleted only if it still has this UID; otherwise Conflict. */
  readonly uid?: string;
  readonly resourceVersion?: string;
  readonly propagationPolicy?: 'Orphan' | 'Background' | 'Foreground';
}

/**
 * A client of one API server. Objects go in and come out as plain JSON, so no field is lost. Requests share a rate limit; a 401 reads the
 * credentials again and repeats once, a 429 waits as long as the server says and repeats, a connection that the server closed while it was idle is replaced.
 *
 * Every call throws InterlinkError by the server's answer: Invalid (400, 422), Unauthenticated, Forbidden, NotFound, Unsupported (405), Conflict
 * (409 code `kube.conflict` or `kube.already-exists`; 410 code `kube.gone`), TooLarge, TooManyRequests, DeadlineExceeded (504, or no answer in time),
 * Unavailable (5xx, connection failed, answer that is no JSON). `details.statusMessage` is the server's sentence alone.
 */
export interface KubeClient extends Disposable {
  get<T>(kind: ResourceKind<T>, ref: ObjectRef, options: KubeCallOptions): Promise<T>;

  /**
   * Pages of at most 500 objects, consistent with each other; `resourceVersion` is the same on all of them.
   * @throws Conflict with code `kube.gone` when the list took so long that the server forgot where it was: start again.
   */
  list<T>(kind: ResourceKind<T>, query: ListQuery, options: KubeCallOptions): AsyncIterable<ListPage<T>>;

  /**
   * Ends when the server ends it in good order; an ERROR event and a torn or silent stream throw. A stop of the iteration closes the connection.
   */
  watch<T>(kind: ResourceKind<T>, query: WatchQuery, options: KubeCallOptions): AsyncIterable<KubeWatchEvent<T>>;

  /** Creates `body`, or the subresource `ref.subresource` of an existing object. `ref.name` is needed only for the latter. */
  create<T>(
    kind: ResourceKind<T>,
    ref: { readonly namespace?: string; readonly name?: string; readonly subresource?: string },
    body: T,
    options: KubeCallOptions,
  ): Promise<T>;

  /** PUT; with `metadata.resourceVersion` in the body the server refuses it by `kube.conflict` when the object has changed since. */
  replace<T>(kind: ResourceKind<T>, ref: ObjectRef, body: T, options: KubeCallOptions): Promise<T>;

  patch<T>(kind: ResourceKind<T>, ref: ObjectRef, patch: unknown, options: PatchOptions): Promise<T>;

  delete<T>(kind: ResourceKind<T>, ref: ObjectRef, options: DeleteOptions): Promise<void>;
}
