import type { z } from 'zod';
import { InterlinkError } from '../base/errors.ts';

/**
 * Checks `value` against a wire schema and leaves it as it is.
 * @throws Invalid naming the first fault and its path under `what`; the value itself is not quoted, as it may be secret.
 */
export function wireCheck(schema: z.ZodType, value: unknown, what: string): void {
  const result = schema.safeParse(value);
  if (result.success) return;
  const [issue] = result.error.issues;
  const path = (issue?.path ?? []).map((key) => (typeof key === 'number' ? `[${key}]` : `.${String(key)}`)).join('');
  throw new InterlinkError('Invalid', `${what}${path}: ${issue?.message ?? 'not as expected'}`, {
    code: 'wire.invalid',
  });
}
