import type { ConfigMap, Container, Pod, Secret } from '../kube/types.ts';
import type { PodBundle } from './pod-bundle.ts';
import { wireCheck } from './wire-check.ts';
import { canonicalKeys, isJsonObject, type JsonObject } from './wire-keys.ts';
import { pullSecretsOf } from './wire-pull-secrets.ts';
import { retrievedPodSchema } from './wire-schemas.ts';

const KEYS = ['pod', 'container', 'jobConfig', 'jobScript', 'imagePullSecrets', 'unmounted'] as const;
const CONTAINER_KEYS = ['name', 'configMaps', 'projectedvolumemaps', 'secrets', 'emptyDirs'] as const;
const UNMOUNTED_KEYS = ['configmaps', 'secrets', 'projectedvolumesmaps'] as const;

/** Job script settings that nobody configured, as a Go peer writes them; plugins that read them expect every key. */
const NO_JOB_CONFIG: JsonObject = {
  SingularityHubProxy: { server: '', master_token: '', cache_validity_seconds: 0 },
  ApptainerOptions: {
    executable: '',
    fakeroot: false,
    containall: false,
    fuseMode: '',
    noInit: false,
    noHome: false,
    noPrivs: false,
    nvidiaSupport: false,
    cleanenv: false,
    unsquash: false,
  },
  Volumes: {
    scratch_area: '',
    apptainer_cachedir: '',
    image_dir: '',
    additional_directories_in_path: null,
    fuse_sleep_seconds: 0,
  },
};

/**
 * `/create` as a plugin takes it: each container with the objects that it mounts, init containers first. A volume mounted twice appears twice. Objects that
 * no container mounts travel in `unmounted`, which existing plugins ignore, so that nothing of the bundle is lost.
 */
export const wirePlugin = {
  encodeCreate(bundle: PodBundle): JsonObject {
    const { pod } = bundle;
    const used = new Set<unknown>();
    const take = <T>(list: readonly T[], matches: (item: T) => boolean): T[] => {
      const found = list.filter(matches);
      for (const item of found) used.add(item);
      return found;
    };
    const containers = containersOf(pod).map((container) => {
      const mounted = volumesOf(pod, container);
      return {
        name: container.name,
        configMaps: nullIfEmpty(
          mounted
            .flatMap((volume) =>
              take(bundle.configMaps, (item) => item.metadata?.name === volume.configMap?.name && !!volume.configMap),
            )
            .map(withData),
        ),
        projectedvolumemaps: nullIfEmpty(
          mounted
            .filter((volume) => volume.projected || volume.downwardAPI)
            .flatMap((volume) => take(bundle.projectedVolumes, (item) => item.metadata?.name === volume.name))
            .map(withData),
        ),
        secrets: nullIfEmpty(
          mounted.flatMap((volume) =>
            take(bundle.secrets, (item) => item.metadata?.name === volume.secret?.secretName && !!volume.secret),
          ),
        ),
        emptyDirs: null,
      };
    });
    const unmounted = Object.fromEntries(
      Object.entries({
        configmaps: bundle.configMaps.filter((item) => !used.has(item)),
        secrets: bundle.secrets.filter((item) => !used.has(item)),
        projectedvolumesmaps: bundle.projectedVolumes.filter((item) => !used.has(item)),
      }).filter(([, list]) => list.length > 0),
    );
    return {
      pod,
      container: containers,
      jobConfig: NO_JOB_CONFIG,
      ...pullSecretsOf(bundle),
      ...(Object.keys(unmounted).length === 0 ? {} : { unmounted }),
    };
  },

  /**
   * The bundle again; an object that several containers mount is taken once. The order of objects may differ from the sender's.
   * @throws Invalid naming the path of the fault.
   */
  decodeCreate(value: unknown): PodBundle {
    const body = canonicalKeys(value, KEYS, 'create request');
    const entries = Array.isArray(body.container)
      ? body.container.map((entry, index) => canonicalKeys(entry, CONTAINER_KEYS, `create request.container[${index}]`))
      : body.container;
    const unmounted = isJsonObject(body.unmounted)
      ? canonicalKeys(body.unmounted, UNMOUNTED_KEYS, 'create request.unmounted')
      : body.unmounted;
    wireCheck(retrievedPodSchema, { ...body, container: entries, unmounted }, 'create request');
    const lists = [...((entries ?? []) as JsonObject[])];
    const rest = (unmounted ?? {}) as JsonObject;
    return {
      pod: body.pod as Pod,
      configMaps: distinct<ConfigMap>([...lists.map((entry) => entry.configMaps), rest.configmaps]),
      secrets: distinct<Secret>([...lists.map((entry) => entry.secrets), rest.secrets]),
      projectedVolumes: distinct<ConfigMap>([
        ...lists.map((entry) => entry.projectedvolumemaps),
        rest.projectedvolumesmaps,
      ]),
      ...pullSecretsOf(body),
    };
  },
};

function containersOf(pod: Pod): readonly Container[] {
  return [...(pod.spec?.initContainers ?? []), ...(pod.spec?.containers ?? [])];
}

/** The volume of each mount, in the order of the mounts. */
function volumesOf(pod: Pod, container: Container) {
  const volumes = new Map((pod.spec?.volumes ?? []).map((volume) => [volume.name, volume]));
  return (container.volumeMounts ?? []).flatMap((mount) => volumes.get(mount.name) ?? []);
}

/** Plugins made with the Python kit refuse a ConfigMap without `data`, which one with binary content only lacks. */
function withData(configMap: ConfigMap): ConfigMap {
  return configMap.data ? configMap : { ...configMap, data: {} };
}

function nullIfEmpty<T>(list: readonly T[]): readonly T[] | null {
  return list.length === 0 ? null : list;
}

function distinct<T extends { metadata?: { name?: string } }>(lists: readonly unknown[]): readonly T[] {
  const byName = new Map<string, T>();
  for (const item of lists.flatMap((list) => (list ?? []) as T[])) {
    const name = item.metadata?.name ?? '';
    if (!byName.has(name)) byName.set(name, item);
  }
  return [...byName.values()];
}
