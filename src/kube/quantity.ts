import { InterlinkError } from '../base/errors.ts';

/** A Kubernetes quantity in billionths, exact; the API knows nothing finer. */
export type Quantity = bigint;

const NANO = 1_000_000_000n;

/** Suffixes of a quantity and their factor as a fraction. @see https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/ */
const FACTORS: Readonly<Record<string, readonly [numerator: bigint, denominator: bigint]>> = {
  '': [1n, 1n],
  n: [1n, NANO],
  u: [1n, 1_000_000n],
  m: [1n, 1_000n],
  k: [1_000n, 1n],
  M: [1_000_000n, 1n],
  G: [1_000_000_000n, 1n],
  T: [1_000_000_000_000n, 1n],
  P: [1_000_000_000_000_000n, 1n],
  E: [1_000_000_000_000_000_000n, 1n],
  Ki: [1n << 10n, 1n],
  Mi: [1n << 20n, 1n],
  Gi: [1n << 30n, 1n],
  Ti: [1n << 40n, 1n],
  Pi: [1n << 50n, 1n],
  Ei: [1n << 60n, 1n],
};

const GRAMMAR = /^([+-]?)(\d+\.?\d*|\.\d+)(?:([numkMGTPE]|[KMGTPE]i)|[eE]([+-]?\d{1,3}))?$/;

/**
 * The value of a quantity such as `500m`, `1.5Gi`, `1e3` or the number 2. What is finer than a billionth is rounded up, as Kubernetes does.
 * @throws Invalid when the text is no quantity
 */
export function parseQuantity(value: string | number): Quantity {
  const text = String(value).trim();
  const match = GRAMMAR.exec(text);
  if (!match)
    throw new InterlinkError('Invalid', `${JSON.stringify(value)} is not a quantity such as 500m, 2 or 1.5Gi`);
  const [, sign, digits = '0', suffix = '', exponent = '0'] = match;
  const [whole = '', fraction = ''] = digits.split('.');
  const [numerator, denominator] = FACTORS[suffix] ?? [1n, 1n];
  const power = BigInt(exponent);
  const up = power > 0n ? 10n ** power : 1n;
  const down = (power < 0n ? 10n ** -power : 1n) * 10n ** BigInt(fraction.length);
  const magnitude = ceilDivide(BigInt(`${whole}${fraction}` || '0') * numerator * up * NANO, denominator * down);
  return sign === '-' ? -magnitude : magnitude;
}

/** Whole units of `quantity`, rounded up: bytes of memory, cores, devices. */
export function wholeUnits(quantity: Quantity): number {
  return Number(ceilDivide(quantity, NANO));
}

/** `quantity` divided by `divisor`, rounded up, as a `resourceFieldRef` with a divisor gives it. */
export function dividedBy(quantity: Quantity, divisor: Quantity): bigint {
  return ceilDivide(quantity, divisor === 0n ? NANO : divisor);
}

/** Decimal text of a quantity: whole units where that is exact, else thousandths (`m`), else billionths (`n`). */
export function renderQuantity(quantity: Quantity): string {
  if (quantity % NANO === 0n) return String(quantity / NANO);
  if (quantity % 1_000_000n === 0n) return `${quantity / 1_000_000n}m`;
  return `${quantity}n`;
}

function ceilDivide(a: bigint, b: bigint): bigint {
  const quotient = a / b;
  return a % b !== 0n && a > 0n === b > 0n ? quotient + 1n : quotient;
}
