import type { SchemaShape } from './schema-shape.ts';

/**
 * The value that a text from the environment or the command line stands for. A text that does not fit stays a text, so that the schema names
 * what it expected. Lists are comma-separated or JSON, maps `key=value,…` or JSON.
 * @throws SyntaxError when a text that begins like JSON is none.
 */
export function coerce(text: string, shape: SchemaShape): unknown {
  switch (shape.type) {
    case 'string':
      return text;
    case 'number':
      return text.trim() !== '' && Number.isFinite(Number(text)) ? Number(text) : text;
    case 'boolean':
      return text === 'true' || text === '1' ? true : text === 'false' || text === '0' ? false : text;
    case 'choice':
      return shape.values.find((value) => String(value) === text) ?? text;
    case 'list':
      if (text.trimStart().startsWith('[')) return JSON.parse(text) as unknown;
      if (text.trim() === '') return [];
      return text.split(',').map((item) => coerce(item.trim(), shape.items));
    case 'object':
      return JSON.parse(text) as unknown;
    case 'record':
      return coerceRecord(text, shape.values);
    case 'any':
      return coerceAny(text, shape.options);
  }
}

function coerceRecord(text: string, values: SchemaShape): unknown {
  if (text.trimStart().startsWith('{')) return JSON.parse(text) as unknown;
  if (text.trim() === '') return {};
  const pairs = text.split(',').map((pair) => pair.trim());
  if (!pairs.every((pair) => pair.indexOf('=') > 0)) return text;
  return Object.fromEntries(
    pairs.map((pair) => {
      const at = pair.indexOf('=');
      return [pair.slice(0, at), coerce(pair.slice(at + 1), values)];
    }),
  );
}

/** The first alternative that changes the text wins; a string is what remains. */
function coerceAny(text: string, options: readonly SchemaShape[]): unknown {
  if (/^\s*[[{]/.test(text)) return JSON.parse(text) as unknown;
  for (const option of options) {
    if (option.type === 'object' || option.type === 'list' || option.type === 'record') continue;
    const value = coerce(text, option);
    if (typeof value !== 'string') return value;
  }
  return text;
}
