import type { Secret } from '../base/secret.ts';

/** What a request carries to say who sends it; both parts may be there. */
export interface KubeCredentials {
  readonly token?: Secret;
  /** PEM texts; the key is a secret. */
  readonly certificate?: { readonly certificate: string; readonly key: Secret };
}

/** Where an API server is and how to speak to it; made by `loadKubeConnection`. */
export interface KubeConnection {
  /** `https://host:port`, with a path prefix where there is one, without a trailing slash. */
  readonly server: string;
  /** PEM; the system's authorities when absent. */
  readonly caData?: string;
  /** Name that the server's certificate must carry when it is not the host's. */
  readonly serverName?: string;
  readonly insecureSkipTlsVerify: boolean;
  /** Namespace of the context, `default` when it names none. */
  readonly namespace: string;
  /** Where this was read from, for messages. */
  readonly source: string;
  /**
   * The credentials of now; files are read again at most once a minute, and at once with `refresh`, which the client sets after a 401.
   * @throws Unauthenticated when a file or an exec plugin does not give any.
   */
  credentials(options: { readonly refresh: boolean; readonly signal: AbortSignal }): Promise<KubeCredentials>;
}
