import { describe, expect, it } from 'vitest';
import { COMMANDS } from '../../../src/cli/commands.ts';
import { main } from '../../../src/cli/main.ts';
import { memoryIo } from './memory-io.ts';

async function run(...argv: string[]): Promise<{ code: number; out: string; err: string }> {
  const io = memoryIo();
  const code = await main(argv, io);
  return { code, out: io.out(), err: io.err() };
}

describe('the command line', () => {
  it('answers --version on standard output', async () => {
    expect(await run('--version')).toEqual({
      code: 0,
      out: expect.stringMatching(/^interlink \d+\.\d+\.\d+\n$/),
      err: '',
    });
    expect((await run('-V')).code).toBe(0);
  });

  it('shows help on standard output when asked and on standard error when it has to', async () => {
    for (const argv of [
      ['--help'],
      ['-h'],
      ['help'],
      ['help', 'config'],
      ['config', '--help'],
      ['config', 'view', '-h'],
    ])
      expect(await run(...argv)).toMatchObject({ code: 0, out: expect.stringContaining('Usage: interlink'), err: '' });
    for (const argv of [[], ['config']])
      expect(await run(...argv)).toMatchObject({ code: 2, out: '', err: expect.stringContaining('Usage: interlink') });
  });

  it.each([
    [['verzion'], "unknown command 'verzion'", 'Did you mean version?'],
    [['config', 'chekc'], "unknown command 'chekc'", 'Did you mean check?'],
    [['config', 'check', '--confg', 'x'], "unknown option '--confg'", 'Did you mean --config?'],
    [['--versoin'], "unknown option '--versoin'", 'Did you mean --version?'],
    [['config', 'check', '--config'], 'argument missing', ''],
    [['config', 'check', 'surplus'], 'too many arguments', ''],
    [['version', '-o', 'xml'], "argument 'xml' is invalid", 'text, json'],
  ])('refuses %j with exit code 2 and a hint', async (argv, message, hint) => {
    const { code, out, err } = await run(...argv);
    expect([code, out]).toEqual([2, '']);
    expect(err).toContain(message);
    expect(err).toContain(hint);
  });

  it.each(COMMANDS.map(({ path }) => path.join(' ')))(
    '%s has help with an example and the exit codes',
    async (path) => {
      const { code, out } = await run(...path.split(' '), '--help');
      expect(code).toBe(0);
      expect(out).toMatch(/Example/);
      expect(out).toContain(`interlink ${path}`);
      expect(out).toMatch(/Exit codes?/i);
    },
  );

  it('lists every command in the help of its group', async () => {
    for (const { path, summary } of COMMANDS)
      expect((await run(...path.slice(0, -1), '--help')).out).toContain(summary.slice(0, 20));
  });
});
