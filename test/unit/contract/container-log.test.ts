import { readdirSync, readlinkSync } from 'node:fs';
import { appendFile, mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { systemClock } from '../../../src/base/clock.ts';
import { silentLogger } from '../../../src/base/logger.ts';
import { readContainerLog } from '../../../src/contract/container-log.ts';
import type { LogOptions } from '../../../src/contract/sidecar.ts';
import { ContainerLogWriter } from '../../../src/runner/container-log-writer.ts';
import { FakeClock } from '../../fakes/fake-clock.ts';

interface Log extends AsyncDisposable {
  readonly path: string;
  read(options?: LogOptions): Promise<string>;
}

async function logOf(files: string | readonly string[]): Promise<Log> {
  const root = await mkdtemp(join(tmpdir(), 'interlink-log-'));
  const path = join(root, '0.log');
  // Newest first, as rotation names them.
  for (const [index, text] of [files].flat().entries()) await writeFile(index === 0 ? path : `${path}.${index}`, text);
  return {
    path,
    read: (options = {}) => readAll(path, options),
    [Symbol.asyncDispose]: () => rm(root, { recursive: true }),
  };
}

/** Files in that directory, removed ones too, that this process has open. */
function heldFiles(directory: string): number {
  const links = readdirSync('/proc/self/fd').map((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`);
    } catch {
      // The one by which the list was made.
      return '';
    }
  });
  return links.filter((link) => link.startsWith(`${directory}/`)).length;
}

async function readAll(path: string, options: LogOptions): Promise<string> {
  const chunks: Uint8Array[] = [];
  const clock = new FakeClock(Date.parse('2026-11-25T12:00:30Z'));
  const signal = new AbortController().signal;
  for await (const chunk of readContainerLog({ path, options, clock, signal, isEnded: () => true })) chunks.push(chunk);
  return Buffer.concat(chunks).toString('latin1');
}

const at = (second: number): string => `2026-11-25T12:00:${String(second).padStart(2, '0')}.000000000Z`;
const whole = (second: number, text: string, stream = 'stdout'): string => `${at(second)} ${stream} F ${text}\n`;
const part = (second: number, text: string, stream = 'stdout'): string => `${at(second)} ${stream} P ${text}\n`;
const tenLines = Array.from({ length: 10 }, (_, index) => whole(index, `line ${index + 1}`)).join('');

describe('reading a container log', () => {
  it.each<[string, LogOptions, string]>([
    ['everything', {}, Array.from({ length: 10 }, (_, index) => `line ${index + 1}\n`).join('')],
    ['--tail=0', { tailLines: 0 }, ''],
    ['--tail=1', { tailLines: 1 }, 'line 10\n'],
    ['--tail=3', { tailLines: 3 }, 'line 8\nline 9\nline 10\n'],
    ['a tail longer than the log', { tailLines: 99 }, Array.from({ length: 10 }, (_, i) => `line ${i + 1}\n`).join('')],
    ['--limit-bytes=10', { limitBytes: 10 }, 'line 1\nlin'],
    ['--limit-bytes=10 --tail=2', { limitBytes: 10, tailLines: 2 }, 'line 9\nlin'],
    ['--limit-bytes of exactly the rest', { limitBytes: 15, tailLines: 2 }, 'line 9\nline 10\n'],
    ['--timestamps --tail=2', { timestamps: true, tailLines: 2 }, `${at(8)} line 9\n${at(9)} line 10\n`],
    ['--since-time', { sinceTime: '2026-11-25T12:00:08Z' }, 'line 9\nline 10\n'],
    ['--since-time in the future', { sinceTime: '2099-01-01T00:00:00Z' }, ''],
    ['--since=22s', { sinceSeconds: 22 }, 'line 9\nline 10\n'],
    ['--since after --tail, which is counted first', { tailLines: 3, sinceSeconds: 22 }, 'line 9\nline 10\n'],
  ])('gives what a kubelet gives for %s (golden 180)', async (_title, options, expected) => {
    await using log = await logOf(tenLines);
    expect(await log.read(options)).toBe(expected);
  });

  it('shows a last line without newline as it is (golden 187)', async () => {
    await using log = await logOf(whole(1, 'whole') + part(2, 'no newline'));
    expect(await log.read()).toBe('whole\nno newline');
    expect(await log.read({ tailLines: 1 })).toBe('no newline');
    expect(await log.read({ timestamps: true })).toBe(`${at(1)} whole\n${at(2)} no newline`);
  });

  it('joins the parts of a long line and counts it once (golden 188)', async () => {
    const long = part(1, 'L'.repeat(16384)).repeat(12) + whole(1, 'end');
    await using log = await logOf(whole(0, 'first') + long + whole(2, 'short'));
    expect(await log.read({ tailLines: 1 })).toBe('short\n');
    expect(await log.read({ tailLines: 2 })).toBe(`${'L'.repeat(16384 * 12)}end\nshort\n`);
    expect(await log.read({ tailLines: 2, limitBytes: 100 })).toBe('L'.repeat(100));
    expect(await log.read({ tailLines: 2, timestamps: true })).toBe(
      `${at(1)} ${'L'.repeat(16384 * 12)}end\n${at(2)} short\n`,
    );
  });

  it('reads over rotated files, oldest first, also for a tail that begins in an older one', async () => {
    await using log = await logOf([whole(3, 'c1') + whole(4, 'c2'), part(2, 'b'), whole(0, 'a1') + part(1, 'a2')]);
    expect(await log.read()).toBe('a1\na2bc1\nc2\n');
    expect(await log.read({ tailLines: 1 })).toBe('c2\n');
    expect(await log.read({ tailLines: 2 })).toBe('a2bc1\nc2\n');
    expect(await log.read({ tailLines: 3 })).toBe('a1\na2bc1\nc2\n');
  });

  it('has empty lines and an empty log (golden 191)', async () => {
    await using log = await logOf(whole(1, 'a') + whole(2, '') + whole(3, ''));
    expect(await log.read()).toBe('a\n\n\n');
    expect(await log.read({ tailLines: 2 })).toBe('\n\n');
    await using empty = await logOf('');
    expect(await empty.read()).toBe('');
    expect(await empty.read({ tailLines: 5 })).toBe('');
  });

  it('passes over what is no record and reads a torn last one (fault: killed while writing)', async () => {
    await using log = await logOf(`garbage\n${whole(1, 'a')}${at(2)} stdout F tor`);
    expect(await log.read()).toBe('a\ntor\n');
  });

  it('has no log: NotFound', async () => {
    await using log = await logOf('');
    await expect(readAll(`${log.path}x`, {})).rejects.toMatchObject({ kind: 'NotFound' });
  });

  it('finds the tail at any distance from the end of a block', async () => {
    const lines = Array.from({ length: 3000 }, (_, index) => 'x'.repeat(index % 97) + index);
    await using log = await logOf(lines.map((line) => whole(1, line)).join(''));
    for (const tailLines of [1, 2, 700, 701, 1500, 2999, 3000, 3001])
      expect(await log.read({ tailLines })).toBe(`${lines.slice(-tailLines).join('\n')}\n`);
  });

  it('stays small on a large file', async () => {
    await using log = await logOf(whole(1, 'y'.repeat(16_000)).repeat(16_000));
    const before = process.memoryUsage().rss;
    let bytes = 0;
    let peak = 0;
    const request = {
      path: log.path,
      options: {},
      clock: systemClock,
      signal: new AbortController().signal,
      isEnded: () => true,
    };
    for await (const chunk of readContainerLog(request)) {
      bytes += chunk.length;
      peak = Math.max(peak, process.memoryUsage().rss);
    }
    expect(bytes).toBe(16_001 * 16_000);
    expect((peak - before) / 1024 / 1024).toBeLessThan(100);
  });
});

describe('following a log', () => {
  const follow = (path: string, options: LogOptions, isEnded: () => boolean) => {
    const controller = new AbortController();
    const text = { all: '' };
    const done = (async () => {
      const request = {
        path,
        options: { ...options, follow: true },
        clock: systemClock,
        signal: controller.signal,
        isEnded,
      };
      for await (const chunk of readContainerLog(request)) text.all += Buffer.from(chunk).toString('latin1');
    })();
    const until = async (expected: string): Promise<void> =>
      expect.poll(() => text.all, { timeout: 5_000 }).toBe(expected);
    return { controller, text, done, until };
  };

  it('gives what comes, over rotations, and ends with the container', async () => {
    await using log = await logOf(whole(1, 'one'));
    let ended = false;
    const { done, until, text } = follow(log.path, {}, () => ended);
    await until('one\n');
    await appendFile(log.path, whole(2, 'two'));
    await until('one\ntwo\n');
    await appendFile(log.path, part(3, 'thr'));
    await rename(log.path, `${log.path}.1`);
    await writeFile(log.path, whole(3, 'ee'));
    await until('one\ntwo\nthree\n');
    await appendFile(log.path, whole(4, 'last'));
    ended = true;
    await done;
    expect(text.all).toBe('one\ntwo\nthree\nlast\n');
  });

  it.runIf(process.platform === 'linux')('loses nothing when rotation is far ahead of the reader', async () => {
    await using log = await logOf(whole(0, 'first'));
    const { signal } = new AbortController();
    let ended = false;
    const request = { path: log.path, options: { follow: true }, clock: systemClock, signal, isEnded: () => ended };
    const reader = readContainerLog(request);
    let text = Buffer.from((await reader.next()).value ?? []).toString();
    // Nobody reads on while twenty files come and most of them go.
    for (let file = 1; file <= 20; file += 1) {
      for (let index = 3; index >= 0; index -= 1)
        await rename(index === 0 ? log.path : `${log.path}.${index}`, `${log.path}.${index + 1}`).catch(() => {});
      await writeFile(log.path, whole(file, `file ${file}`));
      await expect.poll(() => heldFiles(dirname(log.path)), { interval: 5, timeout: 5_000 }).toBe(file + 1);
    }
    ended = true;
    for await (const chunk of reader) text += Buffer.from(chunk).toString();
    expect(text).toBe(
      ['first', ...Array.from({ length: 20 }, (_, i) => `file ${i + 1}`)].map((l) => `${l}\n`).join(''),
    );
    expect(heldFiles(dirname(log.path))).toBe(0);
  });

  it('begins at the tail', async () => {
    await using log = await logOf(tenLines);
    const { done, text } = follow(log.path, { tailLines: 1 }, () => true);
    await done;
    expect(text.all).toBe('line 10\n');
  });

  it('ends with the reason of the abort', async () => {
    await using log = await logOf(tenLines);
    const { controller, done, until } = follow(log.path, { tailLines: 1 }, () => false);
    await until('line 10\n');
    controller.abort(new Error('client went away'));
    await expect(done).rejects.toThrow('client went away');
  });
});

describe('what was written', () => {
  const write = async (chunks: readonly Uint8Array[], rotateBytes?: number): Promise<string> => {
    await using log = await logOf('');
    const writer = new ContainerLogWriter({
      path: log.path,
      clock: systemClock,
      logger: silentLogger,
      ...(rotateBytes && { rotateBytes }),
    });
    for (const chunk of chunks) writer.stdout.write(chunk);
    writer.close();
    return await log.read();
  };

  it('is read bit for bit, whatever it is and however it was cut', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.uint8Array({ maxLength: 200 }), { maxLength: 20 }), async (chunks) => {
        expect(await write(chunks)).toBe(Buffer.concat(chunks).toString('latin1'));
      }),
      { numRuns: 100 },
    );
  });

  it('is read bit for bit with lines of any length around the limit of a record', async () => {
    for (const length of [0, 1, 16383, 16384, 16385, 32768, 32769, 300_000]) {
      const text = `a\n${'z'.repeat(length)}\nb`;
      expect(await write([Buffer.from(text)])).toBe(text);
      expect(await write([Buffer.from(text.slice(0, 7)), Buffer.from(text.slice(7))])).toBe(text);
    }
  });

  it('rotates and keeps the newest five files', async () => {
    const lines = Array.from({ length: 200 }, (_, index) => `line ${index}\n`);
    const text = await write(
      lines.map((line) => Buffer.from(line)),
      500,
    );
    expect(lines.join('').endsWith(text)).toBe(true);
    expect(text.length).toBeGreaterThan(200);
    expect(text.length).toBeLessThan(5 * 500);
  });

  it('keeps the order of the two streams', async () => {
    await using log = await logOf('');
    const writer = new ContainerLogWriter({ path: log.path, clock: systemClock, logger: silentLogger });
    for (const index of [1, 2, 3]) {
      writer.stdout.write(`out ${index}\n`);
      writer.stderr.write(`err ${index}\n`);
    }
    writer.close();
    writer.stdout.write('late');
    expect(await log.read()).toBe('out 1\nerr 1\nout 2\nerr 2\nout 3\nerr 3\n');
  });

  it('is dropped, and said once, where it cannot be written (fault: the file system is full)', async () => {
    const errors: string[] = [];
    const logger = { ...silentLogger, error: (message: string) => errors.push(message) };
    const writer = new ContainerLogWriter({ path: '/dev/full', clock: systemClock, logger });
    writer.stdout.write('a\n');
    writer.stdout.write('b\n');
    await new Promise<void>((resolve) => writer.stdout.end('c\n', resolve));
    writer.close();
    expect(errors).toEqual(['container log cannot be written; output is dropped']);
  });
});
