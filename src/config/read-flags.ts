import { messageOf } from '../base/errors.ts';
import type { Assignment } from './assignment.ts';
import { coerce } from './coerce.ts';
import type { ConfigKey } from './config-key.ts';
import { renderPath } from './config-path.ts';
import type { Problem } from './problem.ts';

/** The assignments of flags that stand for keys; `flags` maps each key's path, rendered, to the text that was given. */
export function readFlags(
  flags: ReadonlyMap<string, string>,
  keys: readonly ConfigKey[],
): { readonly assignments: readonly Assignment[]; readonly problems: readonly Problem[] } {
  const assignments: Assignment[] = [];
  const problems: Problem[] = [];
  for (const key of keys) {
    const text = flags.get(renderPath(key.path));
    if (text === undefined) continue;
    try {
      assignments.push({ path: key.path, value: coerce(text, key.shape), origin: key.flag });
    } catch (error) {
      problems.push({ origin: key.flag, path: renderPath(key.path), message: `not JSON: ${messageOf(error)}` });
    }
  }
  return { assignments, problems };
}
