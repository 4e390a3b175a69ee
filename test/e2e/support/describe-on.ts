import { describe } from 'vitest';
import { missing, type Part } from './environment.ts';

/** `describe` whose tests count as skipped, with the reason in their title, where a part is missing. */
export function describeOn(parts: readonly Part[], title: string, body: () => void): void {
  const reason = missing(parts);
  if (reason === undefined) describe(title, body);
  else describe.skip(`${title} [needs ${reason}]`, body);
}
