import type { TokenRequest, TokenReview } from 'kubernetes-types/authentication/v1';
import type { SubjectAccessReview } from 'kubernetes-types/authorization/v1';
import type { CertificateSigningRequest } from 'kubernetes-types/certificates/v1';
import type { Lease } from 'kubernetes-types/coordination/v1';
import type { Event, ServiceAccount } from 'kubernetes-types/core/v1';
import type { ConfigMap, Node, Pod, Secret, Service } from './types.ts';

/** What the API server calls a kind of object; `T` is how the type checker sees it and exists at compile time only. */
export interface ResourceKind<T> {
  readonly apiVersion: string;
  readonly kind: string;
  /** Plural name in the path. */
  readonly resource: string;
  readonly namespaced: boolean;
  /** Never set; carries `T`. */
  readonly objectType?: T;
}

/** Pods. Statuses are written to the subresource `status`. */
export const PODS: ResourceKind<Pod> = { apiVersion: 'v1', kind: 'Pod', resource: 'pods', namespaced: true };
/** Nodes. Statuses are written to the subresource `status`. */
export const NODES: ResourceKind<Node> = { apiVersion: 'v1', kind: 'Node', resource: 'nodes', namespaced: false };
/** ConfigMaps. */
export const CONFIG_MAPS: ResourceKind<ConfigMap> = {
  apiVersion: 'v1',
  kind: 'ConfigMap',
  resource: 'configmaps',
  namespaced: true,
};
/** Secrets; values are in base64. */
export const SECRETS: ResourceKind<Secret> = {
  apiVersion: 'v1',
  kind: 'Secret',
  resource: 'secrets',
  namespaced: true,
};
/** Services. */
export const SERVICES: ResourceKind<Service> = {
  apiVersion: 'v1',
  kind: 'Service',
  resource: 'services',
  namespaced: true,
};
/** Events of the core group, the ones that `kubectl describe` shows. */
export const EVENTS: ResourceKind<Event> = { apiVersion: 'v1', kind: 'Event', resource: 'events', namespaced: true };
/** Service accounts. */
export const SERVICE_ACCOUNTS: ResourceKind<ServiceAccount> = {
  apiVersion: 'v1',
  kind: 'ServiceAccount',
  resource: 'serviceaccounts',
  namespaced: true,
};
/** Created as the subresource `token` of a ServiceAccount: pass `{ namespace, name, subresource: 'token' }` to `create`. */
export const TOKEN_REQUESTS: ResourceKind<TokenRequest> = {
  ...SERVICE_ACCOUNTS,
  kind: 'TokenRequest',
} as ResourceKind<never>;
/** Leases; those of nodes are in the namespace `kube-node-lease`. */
export const LEASES: ResourceKind<Lease> = {
  apiVersion: 'coordination.k8s.io/v1',
  kind: 'Lease',
  resource: 'leases',
  namespaced: true,
};
/** Requests for certificates; removed by the cluster an hour after the answer, a day after the question. */
export const CERTIFICATE_SIGNING_REQUESTS: ResourceKind<CertificateSigningRequest> = {
  apiVersion: 'certificates.k8s.io/v1',
  kind: 'CertificateSigningRequest',
  resource: 'certificatesigningrequests',
  namespaced: false,
};
/** Who has this token? Created, never stored: the answer is in the created object's `status`. */
export const TOKEN_REVIEWS: ResourceKind<TokenReview> = {
  apiVersion: 'authentication.k8s.io/v1',
  kind: 'TokenReview',
  resource: 'tokenreviews',
  namespaced: false,
};
/** May this user do that? Created, never stored, as {@link TOKEN_REVIEWS}. */
export const SUBJECT_ACCESS_REVIEWS: ResourceKind<SubjectAccessReview> = {
  apiVersion: 'authorization.k8s.io/v1',
  kind: 'SubjectAccessReview',
  resource: 'subjectaccessreviews',
  namespaced: false,
};
