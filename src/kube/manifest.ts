import { type Document, isMap, isScalar, LineCounter, parseAllDocuments, type ScalarTag } from 'yaml';
import { InterlinkError } from '../base/errors.ts';

/** Path of a field: object keys and list indices. */
export type FieldPath = readonly (string | number)[];

/** One object of a manifest, as plain JSON, with the place of each of its fields. */
export interface ManifestObject {
  readonly object: Readonly<Record<string, unknown>>;
  /** `file:line` of the field, or of the nearest field above it that the text has. */
  at(path: FieldPath): string;
}

/** Text of a path as the API server writes it: `spec.containers[0].image`, `data[a.b]`. */
export function renderFieldPath(path: FieldPath): string {
  let text = '';
  for (const step of path) {
    if (typeof step === 'number') text += `[${step}]`;
    else if (/^[A-Za-z_$][\w$-]*$/.test(step)) text += text === '' ? step : `.${step}`;
    else text += `[${step}]`;
  }
  return text;
}

/** Whole numbers as Go's `strconv.ParseInt` with base 0 has them once the underscores are gone: `0400` and `0o400` are octal. */
const goInteger: ScalarTag = {
  tag: 'tag:yaml.org,2002:int',
  default: true,
  test: /^(?:[-+]_*)?(?:0_*[bB]_*[01][01_]*|0_*[xX]_*[0-9a-fA-F][0-9a-fA-F_]*|0_*[oO]_*[0-7][0-7_]*|0[0-7_]*|[1-9][0-9_]*)$/,
  resolve(text) {
    const digits = text.replaceAll('_', '').replace(/^[-+]/, '');
    const [prefix = '', radix = 10] = INTEGER_PREFIXES.find(([start]) => start.test(digits)) ?? [];
    const value = digits === '0' ? 0 : Number.parseInt(digits.replace(prefix, ''), radix);
    return text.startsWith('-') ? -value : value;
  },
};

const INTEGER_PREFIXES: readonly (readonly [RegExp, number])[] = [
  [/^0b/i, 2],
  [/^0x/i, 16],
  [/^0o?/i, 8],
];

/** Other numbers as go-yaml has them; `E2` and `.` are text, `08` is 8. */
const goFloat: ScalarTag = {
  tag: 'tag:yaml.org,2002:float',
  default: true,
  test: /^[-+]?(\.[0-9][0-9_]*|[0-9][0-9_]*(\.[0-9_]*)?)([eE][-+]?[0-9][0-9_]*)?$/,
  resolve: (text) => Number(text.replaceAll('_', '')),
};

/** What go-yaml reads in its own way or, into JSON, not at all: time stamps and base-60 numbers stay text. */
const REPLACED = new Set(['tag:yaml.org,2002:int', 'tag:yaml.org,2002:float', 'tag:yaml.org,2002:timestamp']);

/**
 * The objects of a manifest as `kubectl apply -f` reads them: several documents, YAML or JSON, the scalars of YAML 1.1 as go-yaml has them
 * (`0400` and `0o400` are octal, `yes` and `on` are booleans), merge keys, keys always strings, empty documents skipped, a `List` taken apart.
 *
 * @param file name for messages; `-` for standard input
 * @throws Invalid with file:line when the text is no YAML, has a duplicate key, or a document is not an object with `apiVersion` and `kind`
 */
export function parseManifest(text: string, file: string): readonly ManifestObject[] {
  const name = file === '-' ? 'standard input' : file;
  const lineCounter = new LineCounter();
  const documents = parseAllDocuments(text, {
    version: '1.1',
    lineCounter,
    uniqueKeys: true,
    merge: true,
    stringKeys: false,
    prettyErrors: false,
    customTags: (tags) => [
      goInteger,
      goFloat,
      ...tags.filter((tag) => typeof tag === 'string' || !REPLACED.has(tag.tag)),
    ],
  });
  const objects: ManifestObject[] = [];
  if (!Array.isArray(documents)) return objects;
  for (const document of documents) {
    const [error] = document.errors;
    if (error) {
      const { line } = lineCounter.linePos(error.pos[0]);
      throw new InterlinkError('Invalid', `${name}:${line}: not valid YAML: ${error.message}`, {
        code: 'manifest.yaml',
      });
    }
    const value: unknown = toJson(document.toJS({ maxAliasCount: 1000 }));
    if (value === null || value === undefined) continue;
    const at = (path: FieldPath): string => `${name}:${lineOf(document, path, lineCounter)}`;
    objects.push(...unpack(value, at, []));
  }
  return objects;
}

function unpack(value: unknown, at: ManifestObject['at'], base: FieldPath): ManifestObject[] {
  const where = at(base);
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new InterlinkError('Invalid', `${where}: expected a Kubernetes object, got ${describe(value)}`, {
      code: 'manifest.object',
    });
  const object = value as Record<string, unknown>;
  for (const key of ['apiVersion', 'kind'])
    if (typeof object[key] !== 'string' || object[key] === '')
      throw new InterlinkError(
        'Invalid',
        `${where}: the object has no ${key}; a pod starts with "apiVersion: v1" and "kind: Pod"`,
        {
          code: 'manifest.object',
        },
      );
  if (object.kind === 'List' && Array.isArray(object.items))
    return object.items.flatMap((item, index) => unpack(item, at, [...base, 'items', index]));
  return [{ object, at: (path) => at([...base, ...path]) }];
}

/** What a person calls the value, for messages. */
export function describe(value: unknown): string {
  if (value === null || value === undefined) return 'nothing';
  if (Array.isArray(value)) return 'a list';
  if (typeof value === 'object') return 'an object';
  const text = JSON.stringify(value);
  return `the ${typeof value} ${text.length > 60 ? `${text.slice(0, 57)}…` : text}`;
}

/** Keys become strings, binary scalars text, as sigs.k8s.io/yaml makes JSON of YAML. */
function toJson(value: unknown): unknown {
  if (value instanceof Uint8Array) return Buffer.from(value).toString('utf8');
  if (typeof value === 'bigint') return Number(value);
  if (Array.isArray(value)) return value.map(toJson);
  if (value instanceof Set) return Object.fromEntries([...value].map((key) => [String(key), null]));
  if (typeof value === 'object' && value !== null)
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, toJson(item)]));
  return value;
}

function lineOf(document: Document, path: FieldPath, lineCounter: LineCounter): number {
  let node: unknown = document.contents;
  let offset = isOffset(node) ? node.range[0] : 0;
  for (const step of path) {
    if (isMap(node)) {
      const pair = node.items.find((item) => String(isScalar(item.key) ? item.key.value : item.key) === step);
      if (pair === undefined) break;
      if (isOffset(pair.key)) offset = pair.key.range[0];
      node = pair.value;
    } else if (typeof node === 'object' && node !== null && 'items' in node && Array.isArray(node.items)) {
      node = node.items[Number(step)];
      if (isOffset(node)) offset = node.range[0];
    } else break;
  }
  return lineCounter.linePos(offset).line;
}

function isOffset(node: unknown): node is { range: [number, number, number] } {
  return typeof node === 'object' && node !== null && 'range' in node && Array.isArray(node.range);
}
