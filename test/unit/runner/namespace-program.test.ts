import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { afterAll, describe, expect, it } from 'vitest';
import { machineOf } from '../../../src/runner/namespace-machine.ts';
import { buildProgram, type Program, type SystemCall } from '../../../src/runner/namespace-program.ts';
import { runSystemCalls } from '../../../src/runner/namespace-run.ts';
import { spawnProgram } from '../../../src/runner/namespace-spawn.ts';

const directory = mkdtempSync(join(tmpdir(), 'interlink-program-'));
afterAll(() => rmSync(directory, { recursive: true }));

const chdir = (path: string, rest: Partial<SystemCall> = {}): SystemCall => ({
  call: 'chdir',
  args: [path],
  what: `change to ${path}`,
  ...rest,
});

const print = (what: string): SystemCall => ({ call: 'write', args: [1, what, what.length], what: 'print' });

async function outputOf(program: Program): Promise<string> {
  const run = await spawnProgram(program, { directory, stdio: ['ignore', 'pipe', 'pipe'] });
  const output = run.child.stdout ? await text(run.child.stdout) : '';
  await run.ended;
  run.channel.destroy();
  return output;
}

describe.runIf(process.platform === 'linux')('a program of system calls', () => {
  it('makes the calls in order and ends with 0', async () => {
    await expect(outputOf({ calls: [print('one,'), print('two')] })).resolves.toBe('one,two');
    await expect(runSystemCalls([chdir('/')], { directory })).resolves.toBeUndefined();
  });

  it('stops at the first call that fails and reports its step and the error', async () => {
    await expect(runSystemCalls([chdir('/'), chdir('/no/such'), chdir('/etc')], { directory })).rejects.toMatchObject({
      message: 'change to /no/such: no such file or directory',
      details: { errno: 'ENOENT' },
    });
  });

  it('goes on after an error that is tolerated, and only after that', async () => {
    const tolerate = [2];
    await expect(outputOf({ calls: [chdir('/no/such', { tolerate }), print('on')] })).resolves.toBe('on');
    await expect(outputOf({ calls: [chdir('/no/such', { tolerate: 'all' }), print('on')] })).resolves.toBe('on');
    await expect(runSystemCalls([chdir('/etc/passwd', { tolerate })], { directory })).rejects.toThrow(
      'not a directory',
    );
  });

  it('makes the other call when the first one fails, and reports when that fails too', async () => {
    await expect(runSystemCalls([chdir('/no', { otherwise: chdir('/') })], { directory })).resolves.toBeUndefined();
    await expect(runSystemCalls([chdir('/no', { otherwise: chdir('/no2') })], { directory })).rejects.toThrow(
      'change to /no2',
    );
  });

  it('splits in two, hands results on, and the parent sees how the child ended', async () => {
    const run = await spawnProgram(
      {
        calls: [],
        fork: {
          save: 'child',
          parent: [
            { call: 'wait4', args: [{ slot: 'child' }, { addressOf: 'status' }, 0, 0], what: 'wait' },
            { call: 'write', args: [4, { addressOf: 'status' }, 4], what: 'tell' },
          ],
          child: { calls: [{ call: 'exit_group', args: [42], what: 'exit' }] },
        },
      },
      { directory },
    );
    const status = await new Promise<Buffer>((resolve) => run.channel.once('data', resolve));
    expect(status.readInt32LE()).toBe(42 << 8);
    await expect(run.ended).resolves.toBe(0);
  });

  it('gives another program its arguments and environment byte for byte', async () => {
    const argv = ['printf', '%s|', '', ' a  b ', '"\'$(x)`\\', 'ü\n', '-n', 'a=b'];
    const strings = ['a.b=1', 'c-d==', 'E=', 'F= x\ny '];
    const exec: SystemCall = {
      call: 'execve',
      args: ['/bin/sh', { strings: ['sh', '-c', '"$@"; env -0 | tr "\\0" "|"', 'sh', ...argv] }, { strings }],
      what: 'exec',
    };
    const output = await outputOf({ calls: [exec] });
    expect(output.startsWith(`${argv.slice(2).join('|')}|`)).toBe(true);
    // dash drops a.b and c-d, other shells keep them.
    for (const entry of strings.slice(2)) expect(output.split('|')).toContain(entry);
  });

  it('closes what this process has inherited by accident', async () => {
    const exec: SystemCall = {
      call: 'execve',
      args: ['/bin/ls', { strings: ['ls', '/proc/self/fd'] }, { strings: [] }],
      what: 'exec',
    };
    const names = (await outputOf({ calls: [exec] })).trim().split('\n').map(Number);
    // 3 is the report and 4 the channel; ls opens one itself.
    expect(Math.max(...names)).toBeLessThanOrEqual(5);
  });

  it('refuses a text with a NUL, which would cut it off', () => {
    expect(() => buildProgram({ calls: [chdir('/a\0b')] }, machineOf('x64'))).toThrow('NUL');
  });

  it('names the directory that cannot hold it', async () => {
    // Nobody can make a file in /proc.
    await expect(spawnProgram({ calls: [] }, { directory: '/proc' })).rejects.toThrow('/proc cannot hold a program: ');
  });
});

describe('the machines', () => {
  it('know two processors and refuse others with the next step', () => {
    expect(() => machineOf('ppc64')).toThrow('use a worker with x86-64 or arm64');
  });

  it('encode arm64 as an assembler does', () => {
    const arm64 = machineOf('arm64');
    const words = (bytes: Buffer): string[] =>
      Array.from({ length: bytes.length / 4 }, (_, index) => bytes.readUInt32LE(index * 4).toString(16));
    // As `llvm-mc --triple=aarch64` gives for: tbz x0,#63,#+8+4; cmn x0,#2 / b.eq; cbz x0; b.
    expect(words(arm64.skipOnSuccess(8))).toEqual(['b6f80060']);
    expect(words(arm64.skipOnErrno(2, 8))).toEqual(['b100081f', '54000060']);
    expect(words(arm64.skipOnZero(8))).toEqual(['b4000060']);
    expect(words(arm64.jump(8))).toEqual(['14000003']);
    expect(words(arm64.invoke(49, [{ value: 0x1_0002n, indirect: true }]))).toEqual([
      ...['d2800040', 'f2a00020', 'f2c00000', 'f2e00000', 'f9400000'], // movz, movk x3, ldr x0, [x0]
      ...['d2800628', 'f2a00008', 'f2c00008', 'f2e00008', 'd4000001'], // x8 = 49, svc
    ]);
    expect(words(arm64.store(0x2000n)).at(-1)).toBe('f9000120');
  });

  it.each(['x64', 'arm64'])('make an ELF executable for %s', (architecture) => {
    const { image, steps } = buildProgram({ calls: [chdir('/')] }, machineOf(architecture));
    expect(image.subarray(0, 4).toString('latin1')).toBe('\x7fELF');
    expect(image.readUInt16LE(18)).toBe(architecture === 'x64' ? 62 : 183);
    expect(steps).toEqual(['change to /', 'exit']);
  });
});
