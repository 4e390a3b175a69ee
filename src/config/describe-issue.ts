import type { z } from 'zod';
import { nearest } from '../base/nearest.ts';
import { type ConfigPath, renderPath } from './config-path.ts';
import { type SchemaShape, shapeOf } from './schema-shape.ts';

/** What is wrong at one path. */
export interface ConfigIssue {
  readonly path: ConfigPath;
  readonly message: string;
}

type ZodIssue = z.core.$ZodIssue;

/**
 * Turns an issue of a schema into sentences about the configuration. Values are quoted only where the schema knows the key, shortened, and never
 * for a key that could hold a secret by mistake.
 */
export function describeIssue(
  issue: ZodIssue,
  section: string,
  schema: z.ZodType,
  valueAt: (path: ConfigPath) => unknown,
): readonly ConfigIssue[] {
  const path: ConfigPath = [section, ...issue.path.map((step) => (typeof step === 'symbol' ? String(step) : step))];
  const got = (): string => describeValue(path, valueAt(path));
  switch (issue.code) {
    case 'unrecognized_keys':
      return issue.keys.map((key) => ({
        path: [...path, key],
        message: `unknown key; ${suggestKey(key, path, shapeOf(schema))}`,
      }));
    case 'invalid_type':
      if (valueAt(path) === undefined)
        return [{ path, message: `required but not set; expected ${article(issue.expected)}` }];
      return [{ path, message: `expected ${article(issue.expected)}, got ${got()}` }];
    case 'invalid_value': {
      const values = issue.values.map(String);
      if (valueAt(path) === undefined)
        return [{ path, message: `required but not set; expected ${values.join(' or ')}` }];
      const close = nearest(String(valueAt(path)), values);
      const hint = close === undefined ? '' : `; did you mean ${close}?`;
      return [{ path, message: `expected ${values.join(' or ')}, got ${got()}${hint}` }];
    }
    case 'invalid_union': {
      const branch = likeliestBranch(issue.errors);
      if (!branch) return [{ path, message: `matches none of its alternatives, got ${got()}` }];
      return branch.flatMap((inner) =>
        describeIssue({ ...inner, path: [...issue.path, ...inner.path] } as ZodIssue, section, schema, valueAt),
      );
    }
    case 'invalid_key':
    case 'invalid_element':
      return issue.issues.map((inner) => ({ path, message: lowerFirst(inner.message) }));
    default:
      return [{ path, message: `${lowerFirst(issue.message)}${issue.code === 'custom' ? '' : `, got ${got()}`}` }];
  }
}

/** The alternative that went furthest: the fewest issues, and none about the value as a whole if possible. */
function likeliestBranch(branches: readonly (readonly ZodIssue[])[]): readonly ZodIssue[] | undefined {
  const cost = (branch: readonly ZodIssue[]): number =>
    branch.length + (branch.some((issue) => issue.path.length === 0 && issue.code !== 'unrecognized_keys') ? 1_000 : 0);
  return branches.filter((branch) => branch.length > 0).toSorted((a, b) => cost(a) - cost(b))[0];
}

function suggestKey(key: string, parent: ConfigPath, section: SchemaShape): string {
  const siblings = keysAt(section, parent.slice(1));
  const close = nearest(key, siblings);
  if (close !== undefined) return `did you mean ${close}?`;
  const elsewhere = findKey(section, key, parent.slice(0, 1));
  if (elsewhere) return `did you mean ${renderPath(elsewhere)}?`;
  return siblings.length === 0 ? 'remove it' : `known here: ${siblings.join(', ')}`;
}

function keysAt(shape: SchemaShape, path: ConfigPath): readonly string[] {
  const [step, ...rest] = path;
  if (shape.type === 'object') {
    if (step === undefined) return [...shape.keys.keys()];
    const field = shape.keys.get(String(step));
    return field ? keysAt(field.shape, rest) : [];
  }
  if (step === undefined) return [];
  if (shape.type === 'list') return keysAt(shape.items, rest);
  if (shape.type === 'record') return keysAt(shape.values, rest);
  return [];
}

function findKey(shape: SchemaShape, key: string, path: ConfigPath): ConfigPath | undefined {
  if (shape.type !== 'object') return undefined;
  if (shape.keys.has(key)) return [...path, key];
  for (const [name, field] of shape.keys) {
    const found = findKey(field.shape, key, [...path, name]);
    if (found) return found;
  }
  return undefined;
}

function describeValue(path: ConfigPath, value: unknown): string {
  if (Array.isArray(value)) return 'a list';
  if (typeof value === 'object' && value !== null) return 'a map';
  if (/secret|token|password|key|credential/i.test(String(path.at(-1)))) return `a ${typeof value}`;
  const text = JSON.stringify(value) ?? String(value);
  return text.length > 60 ? `${text.slice(0, 57)}…` : text;
}

function article(expected: string): string {
  switch (expected) {
    case 'object':
    case 'record':
      return 'a map';
    case 'array':
      return 'a list';
    case 'int':
      return 'a whole number';
    case 'boolean':
      return 'true or false';
    default:
      return `a ${expected}`;
  }
}

function lowerFirst(text: string): string {
  return text.slice(0, 1).toLowerCase() + text.slice(1);
}
