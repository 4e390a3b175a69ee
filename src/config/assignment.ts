import type { ConfigPath } from './config-path.ts';

/** One value set by one source. A later assignment to the same path replaces the value whole. */
export interface Assignment {
  readonly path: ConfigPath;
  readonly value: unknown;
  /** Where it was written, for people: `/etc/interlink/config.yaml:3:5`, `INTERLINK_NODE_NAME`, `--name`. */
  readonly origin: string;
}
