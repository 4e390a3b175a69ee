import { InterlinkError } from '../base/errors.ts';
import type { PodBundle } from './pod-bundle.ts';
import { podRefOf } from './pod-ref.ts';
import type { CreateResult } from './sidecar.ts';
import { wireApi } from './wire-api.ts';
import { wireCheck } from './wire-check.ts';
import { canonicalKeys, isJsonObject, type JsonObject } from './wire-keys.ts';
import { wirePlugin } from './wire-plugin.ts';
import { createAnswerSchema } from './wire-schemas.ts';

/** What both shapes of `/create` share: either is taken, also in a list of one as peers before 0.5 send it. */
export const wireCreate = {
  /** @throws Invalid naming the path of the fault. */
  decodeRequest(value: unknown): PodBundle {
    const body = onlyElement(value, 'create request');
    const shaped = isJsonObject(body) ? body : {};
    const bundle = wireApi.matches(shaped) ? wireApi.decodeCreate(body) : wirePlugin.decodeCreate(body);
    podRefOf(bundle.pod);
    return bundle;
  },

  encodeAnswer(result: CreateResult): JsonObject {
    return { PodUID: result.uid, PodJID: result.jobId };
  },

  /** @throws Invalid when it is no answer or one for another pod than `uid`. */
  decodeAnswer(value: unknown, uid: string): CreateResult {
    const answer = canonicalKeys(onlyElement(value, 'create answer'), ['PodUID', 'PodJID'], 'create answer');
    wireCheck(createAnswerSchema, answer, 'create answer');
    if (answer.PodUID !== uid)
      throw new InterlinkError(
        'Invalid',
        `create answer.PodUID: expected ${uid}, got ${JSON.stringify(answer.PodUID).slice(0, 80)}`,
        { code: 'wire.invalid' },
      );
    return { uid, jobId: answer.PodJID as string };
  },
};

function onlyElement(value: unknown, what: string): unknown {
  if (!Array.isArray(value)) return value;
  if (value.length === 1) return value[0];
  throw new InterlinkError('Invalid', `${what}: expected one element, got ${value.length}`, { code: 'wire.invalid' });
}
