import type { CliIo } from './cli-io.ts';

/** The variables that are set, for programs of the site that need some of them. */
export function environmentOf({ env }: Pick<CliIo, 'env'>): Readonly<Record<string, string>> {
  return Object.fromEntries(
    Object.entries(env).flatMap(([name, value]) => (value === undefined ? [] : [[name, value]])),
  );
}
