import type { ConfigMap, Secret } from './types.ts';

/** The objects of a pod's namespace that it refers to. Both give undefined for a name that does not exist and throw when that is not known. */
export interface PodObjects {
  configMap(name: string): ConfigMap | undefined;
  secret(name: string): Secret | undefined;
}
