/**
 * What a sidecar may offer beyond create, delete, status, logs and ping. A call whose capability is not declared answers
 * `Unsupported` (501).
 */
export const CAPABILITIES = ['watch', 'logs.follow', 'exec', 'attach', 'portForward', 'volumes', 'stats'] as const;

/** One of {@link CAPABILITIES}. */
export type Capability = (typeof CAPABILITIES)[number];

/** Answer of `GET /capabilities`; a peer that answers 404 there is a legacy one with no capability. */
export interface CapabilityDocument {
  readonly apiVersion: 'interlink/v1';
  /** Name of the implementation, e.g. `interlink-slurm`. */
  readonly name: string;
  readonly version: string;
  /** Unknown names are ignored by a reader. */
  readonly capabilities: readonly string[];
}
