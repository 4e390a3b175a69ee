import type { ConfigMap, Pod, Secret } from '../kube/types.ts';

/**
 * A pod with everything that it needs from the cluster; immutable.
 *
 * `pod.spec` is as the user wrote it but for the environment: `envFrom` and `valueFrom` are resolved to literal `env` entries in
 * kubelet order, `$(VAR)` in values expanded. One exception is left for the site: a `fieldRef` to `status.podIP` or `status.podIPs`,
 * which only the machine that runs the pod knows (and every `$(VAR)` in a later value that refers to one stays as it is).
 *
 * So the environment of a container is read in order: up to and including the first entry with a `fieldRef` every `value` is literal, whatever
 * it looks like; after it every `value` is expanded by the Kubernetes rules over the variables before it (all but late-bound references are
 * written with `$$`, so a container without such a `fieldRef` needs no expansion at all). Of two entries with one name the later one counts.
 * `command` and `args` are not expanded; the runner does that.
 */
export interface PodBundle {
  readonly pod: Pod;
  /** Each ConfigMap that a `configMap` volume names, whole; an optional one that does not exist is absent. */
  readonly configMaps: readonly ConfigMap[];
  /** Each Secret that a `secret` volume names, whole, values in base64; an optional one that does not exist is absent. */
  readonly secrets: readonly Secret[];
  /**
   * One entry per `projected` and `downwardAPI` volume: `metadata.name` is the *volume's* name, `data` (text) and `binaryData`
   * (base64) map each file's path within the volume to its content. Modes are found in `pod.spec.volumes`.
   */
  readonly projectedVolumes: readonly ConfigMap[];
  /** Each Secret of `spec.imagePullSecrets` that exists, whole; absent when there is none. What a site shows to registries, and nothing else. */
  readonly imagePullSecrets?: readonly Secret[];
}
