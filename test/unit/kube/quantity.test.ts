import { describe, expect, it } from 'vitest';
import { dividedBy, parseQuantity, renderQuantity, wholeUnits } from '../../../src/kube/quantity.ts';

describe('parseQuantity', () => {
  it.each([
    ['0', 0n],
    ['1', 1_000_000_000n],
    [2, 2_000_000_000n],
    [0.5, 500_000_000n],
    ['500m', 500_000_000n],
    ['.5', 500_000_000n],
    ['1.', 1_000_000_000n],
    ['1e3', 1_000_000_000_000n],
    ['1E-3', 1_000_000n],
    ['1E', 1_000_000_000_000_000_000_000_000_000n],
    ['1.5Ki', 1_536_000_000_000n],
    ['16Ei', (16n << 60n) * 1_000_000_000n],
    ['-1', -1_000_000_000n],
    ['0.0000000001', 1n],
  ])('reads %s exactly', (text, expected) => {
    expect(parseQuantity(text)).toBe(expected);
  });

  it.each(['', 'x', '1zz', '1 Gi', '1GiB', '0x10', '1e', '--1', '1.2.3', 'NaN', 'Infinity', '1e9999'])(
    'refuses %j',
    (text) => {
      expect(() => parseQuantity(text)).toThrow(/is not a quantity/);
    },
  );
});

describe('arithmetic', () => {
  it.each([
    ['150m', '1', 1n],
    ['33Mi', '1M', 35n],
    ['200m', '1m', 200n],
    ['1', '0', 1n],
  ])('divides %s by %s and rounds up', (value, divisor, expected) => {
    expect(dividedBy(parseQuantity(value), parseQuantity(divisor))).toBe(expected);
  });

  it('rounds whole units up', () => {
    expect(wholeUnits(parseQuantity('1500m'))).toBe(2);
    expect(wholeUnits(parseQuantity('1Gi'))).toBe(1_073_741_824);
  });

  it.each(['0', '3', '1500m', '7n'])('writes %s back', (text) => {
    expect(renderQuantity(parseQuantity(text))).toBe(text);
  });
});
