import { expect, it } from 'vitest';
import { goDuration } from '../../../src/base/go-duration.ts';

it.each([
  [0, '0s'],
  [45, '45ms'],
  [1_200, '1.2s'],
  [10_000, '10s'],
  [80_000, '1m20s'],
  [300_000, '5m0s'],
  [3_601_000, '1h0m1s'],
])('goDuration(%i) is %s', (ms, text) => {
  expect(goDuration(ms)).toBe(text);
});
