import type { Taint } from '../kube/types.ts';
import type { Accelerator, PingResult, SiteResources } from './sidecar.ts';
import { canonicalKeys, isJsonObject, type JsonObject } from './wire-keys.ts';

const RESOURCE_KEYS = ['cpu', 'memory', 'pods', 'accelerators'] as const;

/** The answer to a ping. Peers answer anything or nothing, so what is not understood is left out and never an error. */
export const wirePing = {
  encode(result: PingResult): JsonObject {
    return { ...result };
  },

  decode(value: unknown): PingResult {
    if (!isJsonObject(value)) return { status: 'ok' };
    const answer = canonicalKeys(value, ['status', 'resources', 'taints'], 'ping answer');
    const resources = decodeResources(answer.resources);
    return {
      status: 'ok',
      ...(resources === undefined ? {} : { resources }),
      ...(Array.isArray(answer.taints) ? { taints: answer.taints.flatMap(decodeTaint) } : {}),
    };
  },
};

function decodeResources(value: unknown): SiteResources | undefined {
  if (!isJsonObject(value)) return undefined;
  const said = canonicalKeys(value, RESOURCE_KEYS, 'ping answer.resources');
  const accelerators = Array.isArray(said.accelerators) ? said.accelerators.flatMap(decodeAccelerator) : undefined;
  const quantities = ['cpu', 'memory', 'pods'].flatMap((name) => {
    const text = quantityText(said[name]);
    return text === undefined ? [] : [[name, text] as const];
  });
  return { ...Object.fromEntries(quantities), ...(accelerators === undefined ? {} : { accelerators }) };
}

function decodeAccelerator(value: unknown): readonly Accelerator[] {
  if (!isJsonObject(value)) return [];
  const said = canonicalKeys(value, ['resourceType', 'available'], 'ping answer.accelerator');
  const available = quantityText(said.available);
  return typeof said.resourceType === 'string' && available !== undefined
    ? [{ resourceType: said.resourceType, available }]
    : [];
}

function decodeTaint(value: unknown): readonly Taint[] {
  if (!isJsonObject(value)) return [];
  const { key, value: content, effect } = canonicalKeys(value, ['key', 'value', 'effect'], 'ping answer.taint');
  if (typeof key !== 'string' || key === '' || typeof effect !== 'string') return [];
  return [{ key, effect, ...(typeof content === 'string' && content !== '' ? { value: content } : {}) }];
}

/** Before 0.6.1 the number of accelerators was a JSON number. */
function quantityText(value: unknown): string | undefined {
  if (typeof value === 'number' && Number.isFinite(value)) return String(value);
  return typeof value === 'string' && value !== '' ? value : undefined;
}
