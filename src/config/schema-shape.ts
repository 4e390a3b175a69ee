import type { z } from 'zod';

/** What a schema says about the text that may stand for its value in the environment or on the command line. */
export type SchemaShape =
  | { readonly type: 'object'; readonly keys: ReadonlyMap<string, SchemaField> }
  | { readonly type: 'record'; readonly values: SchemaShape }
  | { readonly type: 'list'; readonly items: SchemaShape }
  | { readonly type: 'string' | 'number' | 'boolean' }
  | { readonly type: 'choice'; readonly values: readonly (string | number | boolean | null)[] }
  | { readonly type: 'any'; readonly options: readonly SchemaShape[] };

/** One key of an object with what its schema says about it. */
export interface SchemaField {
  readonly shape: SchemaShape;
  readonly description: string | undefined;
  /** Undefined when there is none. */
  readonly defaultValue: unknown;
  readonly required: boolean;
}

/** The parts of zod's definitions that are read here; they are public for tools (`zod/v4/core`) but only loosely typed. */
interface Definition {
  readonly type: string;
  readonly innerType?: z.ZodType;
  readonly in?: z.ZodType;
  readonly out?: z.ZodType;
  readonly getter?: () => z.ZodType;
  readonly shape?: Readonly<Record<string, z.ZodType>>;
  readonly element?: z.ZodType;
  readonly valueType?: z.ZodType;
  readonly options?: readonly z.ZodType[];
  readonly entries?: Readonly<Record<string, string | number>>;
  readonly values?: readonly (string | number | boolean | null)[];
  readonly defaultValue?: unknown;
}

const WRAPPERS = new Set(['optional', 'nullable', 'nonoptional', 'readonly', 'catch', 'default', 'prefault']);

/** Reads a schema through optional, default and similar wrappers and through pipes, on the side that users write. */
export function shapeOf(schema: z.ZodType): SchemaShape {
  const definition = definitionOf(schema);
  const inner = wrapped(definition);
  if (inner) return shapeOf(inner);
  switch (definition.type) {
    case 'object':
      return { type: 'object', keys: fieldsOf(definition.shape ?? {}) };
    case 'record':
      return { type: 'record', values: definition.valueType ? shapeOf(definition.valueType) : ANY };
    case 'array':
    case 'set':
      return { type: 'list', items: definition.element ? shapeOf(definition.element) : ANY };
    case 'string':
    case 'template_literal':
      return { type: 'string' };
    case 'number':
    case 'int':
      return { type: 'number' };
    case 'boolean':
      return { type: 'boolean' };
    case 'enum':
      return { type: 'choice', values: Object.values(definition.entries ?? {}) };
    case 'literal':
      return { type: 'choice', values: definition.values ?? [] };
    case 'union':
      return unionOf((definition.options ?? []).map(shapeOf));
    default:
      return ANY;
  }
}

const ANY: SchemaShape = { type: 'any', options: [] };

function definitionOf(schema: z.ZodType): Definition {
  return schema._zod.def as unknown as Definition;
}

function wrapped(definition: Definition): z.ZodType | undefined {
  if (WRAPPERS.has(definition.type)) return definition.innerType;
  if (definition.type === 'lazy') return definition.getter?.();
  if (definition.type !== 'pipe') return undefined;
  // `preprocess` is a pipe that begins with a transformation, `transform` one that ends with it.
  const first = definition.in;
  return first && definitionOf(first).type === 'transform' ? definition.out : first;
}

function fieldsOf(shape: Readonly<Record<string, z.ZodType>>): ReadonlyMap<string, SchemaField> {
  return new Map(Object.entries(shape).map(([key, schema]) => [key, fieldOf(schema)]));
}

function fieldOf(schema: z.ZodType): SchemaField {
  let description: string | undefined;
  let defaultValue: unknown;
  for (let layer: z.ZodType | undefined = schema; layer; layer = wrapped(definitionOf(layer))) {
    description ??= layer.description;
    const definition = definitionOf(layer);
    if (definition.type === 'default' || definition.type === 'prefault') defaultValue ??= definition.defaultValue;
  }
  return { shape: shapeOf(schema), description, defaultValue, required: !schema.safeParse(undefined).success };
}

/** Objects are merged key by key, so that each key of each alternative has its variable and its flag. */
function unionOf(options: readonly SchemaShape[]): SchemaShape {
  if (options.every((option) => option.type === 'choice'))
    return { type: 'choice', values: options.flatMap((option) => option.values) };
  if (!options.every((option) => option.type === 'object')) return { type: 'any', options };
  const keys = new Map<string, SchemaField>();
  for (const option of options)
    for (const [key, field] of option.keys) {
      const known = keys.get(key);
      keys.set(
        key,
        known ? { ...field, ...known, shape: unionOf([known.shape, field.shape]), required: false } : field,
      );
    }
  return { type: 'object', keys };
}
