import { messageOf } from '../base/errors.ts';
import { nearest } from '../base/nearest.ts';
import type { Assignment } from './assignment.ts';
import { coerce } from './coerce.ts';
import type { ConfigKey } from './config-key.ts';
import { renderPath } from './config-path.ts';
import type { Problem } from './problem.ts';

/**
 * The assignments of `INTERLINK_<SECTION>_…` variables. One that names no key of a known section is a problem, as it would otherwise be ignored
 * without a word; variables that Kubernetes adds for a Service called `interlink-<section>` are left alone.
 */
export function readEnvironment(
  environment: Readonly<Record<string, string | undefined>>,
  sections: readonly string[],
  keys: readonly ConfigKey[],
): { readonly assignments: readonly Assignment[]; readonly problems: readonly Problem[] } {
  const byVariable = new Map(keys.map((key) => [key.variable, key]));
  const prefixes = sections.map((section) => `INTERLINK_${section.toUpperCase()}_`);
  const assignments: Assignment[] = [];
  const problems: Problem[] = [];
  for (const [name, text] of Object.entries(environment)) {
    if (text === undefined || !prefixes.some((prefix) => name.startsWith(prefix)) || isServiceLink(name, text))
      continue;
    const key = byVariable.get(name);
    if (!key) {
      const close = nearest(name, [...byVariable.keys()]);
      const hint = close === undefined ? 'remove it' : `did you mean ${close}?`;
      problems.push({ origin: name, path: '', message: `no such configuration variable; ${hint}` });
      continue;
    }
    try {
      assignments.push({ path: key.path, value: coerce(text, key.shape), origin: name });
    } catch (error) {
      problems.push({ origin: name, path: renderPath(key.path), message: `not JSON: ${messageOf(error)}` });
    }
  }
  return { assignments, problems };
}

/** @see https://kubernetes.io/docs/tutorials/services/connect-applications-service/#environment-variables */
function isServiceLink(name: string, value: string): boolean {
  return (
    /_SERVICE_(HOST|PORT(_.+)?)$/.test(name) ||
    (/_PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?$/.test(name) &&
      (/^(tcp|udp|sctp):\/\//.test(value) || /_\d+_(TCP|UDP|SCTP)_/.test(name)))
  );
}
