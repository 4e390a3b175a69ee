import { expect, it } from 'vitest';
import { isKernelSince } from '../../../src/runner/kernel-version.ts';

it.each([
  ['4.18.0-553.el8_10.x86_64', false],
  ['5.5.19', false],
  ['5.6.0', true],
  ['5.14.0-427.el9.x86_64', true],
  ['6.1.0-18-amd64', true],
  ['10.0', true],
])('Linux %s is 5.6 or newer: %s', (version, expected) => {
  expect(isKernelSince(5, 6, version)).toBe(expected);
});
