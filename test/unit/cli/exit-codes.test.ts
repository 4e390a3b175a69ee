import { describe, expect, it } from 'vitest';
import { InterlinkError } from '../../../src/base/errors.ts';
import { describeError } from '../../../src/cli/describe-error.ts';
import { exitCodeOf } from '../../../src/cli/exit-codes.ts';
import { memoryIo } from './memory-io.ts';

describe('exit codes', () => {
  it.each([
    ['Invalid', 'config.invalid', 3],
    ['Invalid', 'cli.usage', 2],
    ['Invalid', 'pod.invalid', 1],
    ['Unauthenticated', undefined, 4],
    ['Forbidden', undefined, 4],
    ['Unavailable', undefined, 5],
    ['DeadlineExceeded', undefined, 5],
    ['NotFound', undefined, 1],
    ['Internal', undefined, 1],
  ] as const)('%s (%s) ends with %i', (kind, code, expected) => {
    expect(exitCodeOf(new InterlinkError(kind, 'x', code === undefined ? {} : { code }))).toBe(expected);
  });

  it('is 1 for what is not ours', () => {
    expect(exitCodeOf(new TypeError('x'))).toBe(1);
    expect(exitCodeOf('text')).toBe(1);
  });
});

describe('describeError', () => {
  it('shows message and causes, without repeating words or a stack', () => {
    const io = memoryIo();
    const root = new Error('connect ECONNREFUSED 10.0.0.1:443');
    const error = new InterlinkError('Unavailable', 'site x: cannot connect; check node.site.url', { cause: root });
    expect(describeError(error, io)).toBe(5);
    expect(io.err()).toBe(
      'error: site x: cannot connect; check node.site.url\n  caused by: connect ECONNREFUSED 10.0.0.1:443\n',
    );
  });

  it('shows the stack of a fault of our own', () => {
    const io = memoryIo();
    expect(describeError(new TypeError('x is not a function'), io)).toBe(1);
    expect(io.err()).toMatch(/exit-codes\.test\.ts:\d+/);
  });

  it('colours on a terminal only, and never with NO_COLOR', () => {
    for (const [env, tty, coloured] of [
      [{}, true, true],
      [{ NO_COLOR: '1' }, true, false],
      [{ NO_COLOR: '' }, true, true],
      [{ TERM: 'dumb' }, true, false],
      [{}, false, false],
    ] as const) {
      const io = memoryIo({ env, tty });
      describeError(new InterlinkError('NotFound', 'x'), io);
      expect(io.err().includes('\u001b[')).toBe(coloured);
    }
  });

  it('takes the reason of a requested stop for success', () => {
    const reason = new Error('stopped by SIGTERM');
    const io = memoryIo({ signal: AbortSignal.abort(reason) });
    expect(describeError(reason, io)).toBe(0);
    expect(describeError(new Error('another'), io)).toBe(1);
  });
});
