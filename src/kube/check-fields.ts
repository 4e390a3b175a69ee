import { nearest } from '../base/nearest.ts';
import { describe, type FieldPath } from './manifest.ts';
import schema from './schema/core-v1.json' with { type: 'json' };

/** A fault of one field. */
export interface FieldProblem {
  readonly path: FieldPath;
  readonly message: string;
}

interface TypeSchema {
  readonly fields: Readonly<Record<string, string>>;
  readonly required?: readonly string[];
}

const TYPES = schema.types as Readonly<Record<string, TypeSchema>>;

/**
 * Checks an object against Kubernetes' own field list: unknown fields (with the nearest known name), wrong types and missing required
 * fields, all of them. `null` counts as absent, as for the API server.
 *
 * @param kind `Pod`, `ConfigMap` or `Secret`
 * @see https://kubernetes.io/docs/reference/using-api/api-concepts/#setting-the-field-validation-level
 */
export function checkFields(
  object: Readonly<Record<string, unknown>>,
  kind: 'Pod' | 'ConfigMap' | 'Secret',
): readonly FieldProblem[] {
  const problems: FieldProblem[] = [];
  check(object, kind, [], problems);
  return problems;
}

function check(value: unknown, type: string, path: FieldPath, problems: FieldProblem[]): void {
  if (value === null || value === undefined) return;
  const wrong = (expected: string): void => {
    problems.push({ path, message: `expected ${expected}, got ${describe(value)}${quoteHint(value, expected)}` });
  };
  if (type.startsWith('[]')) {
    if (!Array.isArray(value)) {
      wrong('a list');
      return;
    }
    value.forEach((item, index) => {
      if (item === null) problems.push({ path: [...path, index], message: 'the list has an empty element' });
      check(item, type.slice(2), [...path, index], problems);
    });
    return;
  }
  if (type.startsWith('{}')) {
    if (!isObject(value)) {
      wrong('a map');
      return;
    }
    for (const [key, item] of Object.entries(value)) check(item, type.slice(2), [...path, key], problems);
    return;
  }
  switch (type) {
    case 'any':
      return;
    case 'string':
      if (typeof value !== 'string') wrong('a string');
      return;
    case 'bytes':
      if (typeof value !== 'string') wrong('base64 text');
      else if (!isBase64(value)) problems.push({ path, message: 'is not valid base64' });
      return;
    case 'boolean':
      if (typeof value !== 'boolean') wrong('true or false');
      return;
    case 'integer':
      if (typeof value !== 'number' || !Number.isInteger(value)) wrong('a whole number');
      return;
    case 'number':
      if (typeof value !== 'number') wrong('a number');
      return;
    case 'quantity':
      if (typeof value !== 'number' && typeof value !== 'string') wrong('a quantity such as 500m or 2Gi');
      return;
    case 'intOrString':
      if (typeof value !== 'string' && (typeof value !== 'number' || !Number.isInteger(value)))
        wrong('a whole number or a name');
      return;
    default:
      checkObject(value, type, path, problems, wrong);
  }
}

function checkObject(
  value: unknown,
  type: string,
  path: FieldPath,
  problems: FieldProblem[],
  wrong: (expected: string) => void,
): void {
  const known = TYPES[type];
  if (known === undefined) return;
  if (!isObject(value)) {
    wrong('an object');
    return;
  }
  for (const [key, item] of Object.entries(value)) {
    const field = Object.hasOwn(known.fields, key) ? known.fields[key] : undefined;
    if (field !== undefined) {
      check(item, field, [...path, key], problems);
      continue;
    }
    const near = nearest(key, Object.keys(known.fields));
    problems.push({
      path: [...path, key],
      message: `unknown field${near === undefined ? '' : `; did you mean ${near}?`}`,
    });
  }
  for (const key of known.required ?? [])
    if (value[key] === undefined || value[key] === null)
      problems.push({ path: [...path, key], message: 'is required' });
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isBase64(text: string): boolean {
  const compact = text.replace(/[\r\n]/g, '');
  return compact.length % 4 === 0 && /^[A-Za-z0-9+/]*={0,2}$/.test(compact);
}

function quoteHint(value: unknown, expected: string): string {
  return expected === 'a string' && (typeof value === 'boolean' || typeof value === 'number')
    ? '; put it in quotes'
    : '';
}
