import type { ConfigMap, Secret, Service } from '../kube/types.ts';
import type { CallOptions } from './sidecar.ts';

/** The token that a projected volume asks for; bound to the pod. */
export interface TokenAsk {
  readonly namespace: string;
  readonly serviceAccount: string;
  readonly podName: string;
  readonly podUid: string;
  /** The API server's own audience when absent. */
  readonly audience?: string;
  readonly expirationSeconds?: number;
}

/** Where the objects come from that a pod refers to: the API server, or the files of `interlink run`. */
export interface ObjectSource {
  /** Undefined when there is none of that name. @throws Unavailable or Forbidden when that cannot be told */
  configMap(namespace: string, name: string, options: Pick<CallOptions, 'signal'>): Promise<ConfigMap | undefined>;
  /** As {@link configMap}. */
  secret(namespace: string, name: string, options: Pick<CallOptions, 'signal'>): Promise<Secret | undefined>;
  /** All Services of the namespace and those of `default`. */
  services(namespace: string, options: Pick<CallOptions, 'signal'>): Promise<readonly Service[]>;
  /** A new token. @throws NotFound when the service account is missing, Unsupported where nobody issues tokens */
  serviceAccountToken(ask: TokenAsk, options: Pick<CallOptions, 'signal'>): Promise<string>;
}
