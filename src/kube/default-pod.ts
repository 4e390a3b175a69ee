import type { Container, Pod, Volume } from './types.ts';

type Json = Record<string, unknown>;

/**
 * The pod as the API server would store it: the defaults of `core/v1` filled in. Fields that only admission sets (service account, tolerations,
 * priority) are left out, as nothing here stands for a cluster.
 *
 * @see https://github.com/kubernetes/kubernetes/blob/v1.36.3/pkg/apis/core/v1/defaults.go
 */
export function defaultPod(pod: Pod): Pod {
  const result = structuredClone(pod);
  result.spec ??= { containers: [] };
  const { spec } = result;
  spec.restartPolicy ??= 'Always';
  spec.terminationGracePeriodSeconds ??= 30;
  spec.dnsPolicy ??= 'ClusterFirst';
  spec.enableServiceLinks ??= true;
  spec.schedulerName ??= 'default-scheduler';
  spec.securityContext ??= {};
  for (const container of [...(spec.initContainers ?? []), ...(spec.containers ?? [])]) defaultContainer(container);
  for (const volume of spec.volumes ?? []) defaultVolume(volume);
  return result;
}

function defaultContainer(container: Container): void {
  container.imagePullPolicy ??= isLatest(container.image ?? '') ? 'Always' : 'IfNotPresent';
  container.terminationMessagePath ??= '/dev/termination-log';
  container.terminationMessagePolicy ??= 'File';
  container.resources ??= {};
  const { resources } = container;
  if (resources.limits) resources.requests = { ...resources.limits, ...resources.requests };
  for (const port of container.ports ?? []) port.protocol ??= 'TCP';
  for (const variable of container.env ?? []) defaultFieldRef(variable.valueFrom?.fieldRef);
  for (const probe of [container.livenessProbe, container.readinessProbe, container.startupProbe]) {
    if (!probe) continue;
    probe.timeoutSeconds ??= 1;
    probe.periodSeconds ??= 10;
    probe.successThreshold ??= 1;
    probe.failureThreshold ??= 3;
    defaultHttp(probe.httpGet);
    if (probe.grpc) probe.grpc.service ??= '';
  }
  defaultHttp(container.lifecycle?.postStart?.httpGet);
  defaultHttp(container.lifecycle?.preStop?.httpGet);
}

/** Without tag and digest, or with the tag `latest`, an image is fetched each time. */
function isLatest(image: string): boolean {
  if (image.includes('@')) return false;
  const tag = /:([^/:]+)$/.exec(image)?.[1];
  return tag === undefined || tag === 'latest';
}

function defaultHttp(action: { path?: string; scheme?: string } | undefined): void {
  if (!action) return;
  action.path ||= '/';
  action.scheme ??= 'HTTP';
}

function defaultFieldRef(reference: { apiVersion?: string } | undefined): void {
  if (reference) reference.apiVersion ??= 'v1';
}

function defaultVolume(volume: Volume): void {
  const { configMap, secret, projected, downwardAPI, hostPath } = volume;
  for (const source of [configMap, secret, projected, downwardAPI]) if (source) source.defaultMode ??= 0o644;
  if (hostPath) hostPath.type ??= '';
  for (const item of downwardAPI?.items ?? []) defaultFieldRef(item.fieldRef);
  for (const source of projected?.sources ?? []) {
    if (source.serviceAccountToken) source.serviceAccountToken.expirationSeconds ??= 3600;
    for (const item of source.downwardAPI?.items ?? []) defaultFieldRef(item.fieldRef);
  }
  const sources = Object.keys(volume as unknown as Json).filter((key) => key !== 'name');
  if (sources.length === 0) volume.emptyDir = {};
}
