import { readFile } from 'node:fs/promises';
import { isAlias, isMap, isScalar, isSeq, LineCounter, type Node, parseAllDocuments } from 'yaml';
import { systemCodeOf } from '../base/errors.ts';
import type { Assignment } from './assignment.ts';
import { type ConfigPath, renderPath } from './config-path.ts';
import type { Problem } from './problem.ts';

/** What one file says. */
export interface ConfigFile {
  readonly assignments: readonly Assignment[];
  /** Keys at the top, those without a value included. */
  readonly sections: readonly string[];
  /** Position of each key, by rendered path, for messages about keys that hold no value themselves. */
  readonly places: ReadonlyMap<string, string>;
  readonly problems: readonly Problem[];
}

/**
 * Reads one YAML 1.2 file. Duplicate keys, unknown tags and a second document are problems. A key without a value (`labels:`) counts as not
 * written. A file that does not exist is a problem only when it is `required`.
 */
export async function readConfigFile(path: string, required: boolean): Promise<ConfigFile> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    const code = systemCodeOf(error);
    if (!required && (code === 'ENOENT' || code === 'ENOTDIR'))
      return { assignments: [], sections: [], places: new Map(), problems: [] };
    const reason =
      code === 'ENOENT' ? 'no such file' : code === 'EISDIR' ? 'is a directory' : `cannot be read (${code})`;
    return {
      assignments: [],
      sections: [],
      places: new Map(),
      problems: [{ origin: path, path: '', message: reason }],
    };
  }
  return parseConfigText(path, text);
}

/** The part of {@link readConfigFile} that needs no file system. */
export function parseConfigText(file: string, text: string): ConfigFile {
  const lines = new LineCounter();
  const documents = parseAllDocuments(text, {
    lineCounter: lines,
    prettyErrors: false,
    uniqueKeys: true,
    merge: false,
  });
  const at = (offset: number | undefined): string => {
    const { line, col } = lines.linePos(offset ?? 0);
    return `${file}:${line}:${col}`;
  };
  const problems: Problem[] = [];
  if (!Array.isArray(documents)) return { assignments: [], sections: [], places: new Map(), problems };
  for (const document of documents)
    for (const fault of [...document.errors, ...document.warnings])
      problems.push({ origin: at(fault.pos[0]), path: '', message: describeYamlFault(fault.code, fault.message) });
  const [document, second] = documents;
  if (second)
    problems.push({
      origin: at(second.range?.[0]),
      path: '',
      message: 'a second document; the file must hold only one',
    });
  const root = document?.contents;
  const isEmpty = !root || (isScalar(root) && root.value === null);
  if (problems.length > 0 || !document || isEmpty)
    return { assignments: [], sections: [], places: new Map(), problems };

  const assignments: Assignment[] = [];
  const places = new Map<string, string>();
  const walk = (node: Node, path: ConfigPath, place: string): void => {
    const value = isAlias(node) ? node.resolve(document) : node;
    places.set(renderPath(path), place);
    if (isMap(value)) {
      for (const { key, value: child } of value.items) {
        const name = isScalar(key) ? String(key.value) : String(key);
        const childPath = [...path, name];
        const childPlace = at((key as Node | null)?.range?.[0]);
        if (child) walk(child as Node, childPath, childPlace);
        else places.set(renderPath(childPath), childPlace);
      }
      if (value.items.length === 0 && path.length > 1) assignments.push({ path, value: {}, origin: place });
      return;
    }
    if (isScalar(value) && value.value === null) return;
    if (isSeq(value)) markItems(value.items as Node[], path);
    assignments.push({ path, value: value?.toJS(document) as unknown, origin: place });
  };
  const markItems = (items: readonly Node[], path: ConfigPath): void => {
    for (const [index, item] of items.entries()) {
      const itemPath = [...path, index];
      places.set(renderPath(itemPath), at(item.range?.[0]));
      if (isMap(item))
        for (const { key } of item.items)
          places.set(renderPath([...itemPath, String(key)]), at((key as Node | null)?.range?.[0]));
    }
  };
  if (!isMap(root)) {
    const message = 'expected sections (node:, proxy:, sidecar:, token:) at the top';
    return { assignments, sections: [], places, problems: [{ origin: at(root.range?.[0]), path: '', message }] };
  }
  walk(root, [], at(root.range?.[0]));
  return { assignments, sections: root.items.map(({ key }) => String(key)), places, problems };
}

function describeYamlFault(code: string, message: string): string {
  return code === 'DUPLICATE_KEY' ? 'this key is written twice in the same map' : `not YAML: ${message}`;
}
