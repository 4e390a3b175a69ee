import type { z } from 'zod';
import type { ConfigPath } from './config-path.ts';
import { type SchemaField, shapeOf } from './schema-shape.ts';

/** One value that can be set by itself, with its name in each source. */
export interface ConfigKey extends SchemaField {
  readonly path: ConfigPath;
  /** `INTERLINK_NODE_KUBELET_PORT` for `node.kubelet.port`. */
  readonly variable: string;
  /** `--kubelet-port` for `node.kubelet.port`; the section is given by the command. */
  readonly flag: string;
}

/** Every key of a section, in the order of its schema. Lists and maps of free keys are one key each. */
export function listConfigKeys(section: string, schema: z.ZodType): readonly ConfigKey[] {
  const shape = shapeOf(schema);
  return shape.type === 'object' ? [...keysBelow([section], shape.keys)] : [];
}

function* keysBelow(parent: ConfigPath, fields: ReadonlyMap<string, SchemaField>): Generator<ConfigKey> {
  for (const [name, field] of fields) {
    const path = [...parent, name];
    if (field.shape.type === 'object') {
      yield* keysBelow(path, field.shape.keys);
      continue;
    }
    const words = path.map((step) => wordsOf(String(step)));
    yield {
      ...field,
      path,
      variable: `INTERLINK_${words.flat().join('_').toUpperCase()}`,
      flag: `--${words.slice(1).flat().join('-').toLowerCase()}`,
    };
  }
}

/** `tokenFile` → token, file; `imageIDs` → image, ids; `memoryMiB` → memory, mib. */
function wordsOf(name: string): string[] {
  return name.match(/[KMGT]iB|[A-Z]+s?(?![a-z])|[A-Z]?[a-z0-9]+|[A-Z]/g) ?? [name];
}
