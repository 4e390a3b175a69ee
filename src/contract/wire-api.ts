import type { PodBundle } from './pod-bundle.ts';
import { wireCheck } from './wire-check.ts';
import { canonicalKeys, type JsonObject } from './wire-keys.ts';
import { pullSecretsOf } from './wire-pull-secrets.ts';
import { createRequestSchema } from './wire-schemas.ts';

const KEYS = ['pod', 'configmaps', 'secrets', 'projectedvolumesmaps', 'imagePullSecrets', 'jobscriptURL'] as const;

/** `/create` as a node sends it: the pod and its objects side by side. Objects are the bundle's own, not copies. */
export const wireApi = {
  /** Whether a `/create` body, its keys in any case, has this shape rather than the plugin's. */
  matches(value: JsonObject): boolean {
    const keys = new Set(Object.keys(value).map((key) => key.toLowerCase()));
    return !keys.has('container');
  },

  encodeCreate(bundle: PodBundle): JsonObject {
    return {
      pod: bundle.pod,
      configmaps: nullIfEmpty(bundle.configMaps),
      secrets: nullIfEmpty(bundle.secrets),
      projectedvolumesmaps: nullIfEmpty(bundle.projectedVolumes),
      ...pullSecretsOf(bundle),
      jobscriptURL: '',
    };
  },

  /** @throws Invalid naming the path of the fault. */
  decodeCreate(value: unknown): PodBundle {
    const body = canonicalKeys(value, KEYS, 'create request');
    wireCheck(createRequestSchema, body, 'create request');
    return {
      pod: body.pod as PodBundle['pod'],
      configMaps: (body.configmaps ?? []) as PodBundle['configMaps'],
      secrets: (body.secrets ?? []) as PodBundle['secrets'],
      projectedVolumes: (body.projectedvolumesmaps ?? []) as PodBundle['projectedVolumes'],
      ...pullSecretsOf(body),
    };
  },
};

/** As a Go peer writes an empty list. */
function nullIfEmpty<T>(list: readonly T[]): readonly T[] | null {
  return list.length === 0 ? null : list;
}
