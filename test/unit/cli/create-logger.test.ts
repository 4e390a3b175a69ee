import { describe, expect, it } from 'vitest';
import { InterlinkError } from '../../../src/base/errors.ts';
import { Secret } from '../../../src/base/secret.ts';
import { createLogger } from '../../../src/cli/create-logger.ts';
import { memoryIo } from './memory-io.ts';

function logger(options: { tty?: boolean; format?: 'text' | 'json'; level?: string; colour?: boolean } = {}) {
  const io = memoryIo(options.tty ? { tty: true } : {});
  const { format, level = 'info', colour = false } = options;
  return { log: createLogger({ level, format, output: io.stderr, colour }), lines: () => io.err() };
}

describe('createLogger', () => {
  it('writes JSON lines when the output is no terminal', () => {
    const { log, lines } = logger();
    log.child({ component: 'vk' }).child({ component: 'node' }).info('node registered', { node: 'n1', count: 2 });
    expect(lines().match(/component/g)).toHaveLength(1);
    expect(JSON.parse(lines())).toEqual({
      time: expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/),
      level: 'info',
      component: 'node',
      node: 'n1',
      count: 2,
      message: 'node registered',
    });
  });

  it('writes text on a terminal, or when told to', () => {
    for (const { log, lines } of [logger({ tty: true }), logger({ format: 'text' })]) {
      log.warn('poll failed', { attempt: 3, command: 'squeue -h', node: 'n1' });
      expect(lines()).toMatch(/^\d\d:\d\d:\d\d\.\d{3} warn {2}poll failed attempt=3 command="squeue -h" node=n1\n$/);
    }
    const { log, lines } = logger({ tty: true, format: 'json' });
    log.info('ready');
    expect(lines()).toMatch(/^\{/);
  });

  it('colours only when told to', () => {
    const { log, lines } = logger({ format: 'text', colour: true });
    log.error('x');
    expect(lines()).toContain('\u001b[31merror');
  });

  it('drops what is below the level', () => {
    const { log, lines } = logger({ level: 'warn' });
    log.info('x');
    log.debug('x');
    expect(lines()).toBe('');
  });

  it('never writes a secret', () => {
    const { log, lines } = logger();
    log.info('token read', { token: new Secret('s3cret'), nested: { token: new Secret('s3cret') } });
    expect(lines()).not.toContain('s3cret');
    expect(lines()).toContain('[redacted]');
  });

  it('writes errors with kind, code, details and causes, and a stack only for faults of our own', () => {
    const { log, lines } = logger();
    const cause = new InterlinkError('Unavailable', 'no answer', {
      code: 'slurm.poll.failed',
      details: { exitCode: 1 },
    });
    log.error('poll failed', { err: new InterlinkError('Unavailable', 'gone', { cause }) });
    expect(JSON.parse(lines()).err).toEqual({
      message: 'gone',
      kind: 'Unavailable',
      code: 'unavailable',
      cause: { message: 'no answer', kind: 'Unavailable', code: 'slurm.poll.failed', details: { exitCode: 1 } },
    });
    const own = logger();
    own.log.error('bug', { err: new TypeError('x') });
    expect(JSON.parse(own.lines()).err.stack).toContain('create-logger.test.ts');
  });

  it('lets no remote text repaint the terminal', () => {
    const { log, lines } = logger({ format: 'text' });
    log.info('said \u001b[2J', { text: '\u001b[2J\nnew line' });
    expect(lines()).not.toContain('\u001b');
    expect(lines().split('\n')).toHaveLength(2);
  });

  it('survives fields that cannot be JSON', () => {
    const { log, lines } = logger();
    const loop: Record<string, unknown> = { big: 1n };
    loop.self = loop;
    log.info('odd', { loop });
    expect(JSON.parse(lines()).message).toBe('odd');
  });
});
