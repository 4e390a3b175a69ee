import type { FieldProblem } from './check-fields.ts';
import { isDataKey } from './names.ts';
import type { ConfigMap, Secret } from './types.ts';
import { checkMetadata } from './validate-pod.ts';

/** What the API server takes of one ConfigMap or Secret, keys not counted. */
export const MAX_DATA_BYTES = 1024 * 1024;

/** The faults that the API server would find in a ConfigMap or Secret whose fields have the right types. */
export function validateData(object: ConfigMap | Secret, kind: 'ConfigMap' | 'Secret'): readonly FieldProblem[] {
  const problems: FieldProblem[] = [];
  checkMetadata(object.metadata, (path, message) => problems.push({ path, message }));
  let bytes = 0;
  const fields = { data: object.data, binaryData: 'binaryData' in object ? object.binaryData : undefined };
  for (const [field, values] of Object.entries(fields))
    for (const [key, text] of Object.entries(values ?? {})) {
      if (!isDataKey(key))
        problems.push({
          path: [field, key],
          message: 'is no key: letters, digits, "-", "_" and "." only, not beginning with ".."',
        });
      const encoded = kind === 'Secret' || field === 'binaryData';
      bytes += Buffer.byteLength(text, encoded ? 'base64' : 'utf8');
    }
  if (bytes > MAX_DATA_BYTES)
    problems.push({ path: ['data'], message: `holds ${bytes} bytes; a ${kind} may hold ${MAX_DATA_BYTES}` });
  return problems;
}
