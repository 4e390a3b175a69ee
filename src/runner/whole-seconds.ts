import { rfc3339 } from '../base/clock.ts';

/** RFC 3339 without fractions: `metav1.Time` knows whole seconds only. */
export function wholeSeconds(time: string): string {
  return rfc3339(Date.parse(time));
}
