import { InterlinkError } from '../base/errors.ts';

/** A JSON object of which nothing is known yet. */
export type JsonObject = Readonly<Record<string, unknown>>;

/** Whether `value` is a JSON object, not null and no array. */
export function isJsonObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/**
 * The object with its keys spelled as in `names`: peers written in Go match them without regard to case, so any case is read. An exact spelling wins over
 * another; keys that are not in `names` stay as they are.
 * @throws Invalid naming `path` when `value` is no object.
 */
export function canonicalKeys(value: unknown, names: readonly string[], path: string): JsonObject {
  if (!isJsonObject(value))
    throw new InterlinkError('Invalid', `${path}: expected a JSON object, got ${describe(value)}`, {
      code: 'wire.invalid',
    });
  const wanted = new Map(names.map((name) => [name.toLowerCase(), name]));
  const result: Record<string, unknown> = {};
  for (const [key, entry] of Object.entries(value)) {
    const name = wanted.get(key.toLowerCase()) ?? key;
    if (name !== key && (name in value || name in result)) continue;
    result[name] = entry;
  }
  return result;
}

/** What `value` is, for a message, without its content. */
export function describe(value: unknown): string {
  if (value === undefined) return 'nothing';
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'a list';
  return typeof value === 'object' ? 'an object' : `a ${typeof value}`;
}
