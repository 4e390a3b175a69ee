import { InterlinkError } from '../../base/errors.ts';
import type { ObjectSource } from '../../contract/object-source.ts';
import type { ConfigMap, Secret } from '../../kube/types.ts';

/** The objects of one manifest as the only ones there are. */
export function memorySource(configMaps: readonly ConfigMap[], secrets: readonly Secret[]): ObjectSource {
  const find = <T extends ConfigMap | Secret>(objects: readonly T[], namespace: string, name: string): T | undefined =>
    objects.find(({ metadata }) => metadata?.namespace === namespace && metadata.name === name);
  return {
    configMap: async (namespace, name) => find(configMaps, namespace, name),
    secret: async (namespace, name) => find(secrets, namespace, name),
    services: async () => [],
    async serviceAccountToken({ serviceAccount }) {
      throw new InterlinkError(
        'Unsupported',
        `no cluster issues a token for the service account ${JSON.stringify(serviceAccount)}; leave out the volume when the pod runs without one`,
        { code: 'run.token' },
      );
    },
  };
}
