import { PassThrough } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { describe, expect, it } from 'vitest';
import { LogPrinter } from '../../../src/cli/run/log-printer.ts';

async function* chunks(...texts: string[]): AsyncGenerator<Uint8Array> {
  for (const text of texts) yield Buffer.from(text, 'latin1');
}

const print = async (prefix: boolean, ...texts: string[]): Promise<string> => {
  const out = new PassThrough();
  const done = buffer(out);
  await new LogPrinter(out, prefix).print('c', chunks(...texts));
  out.end();
  return (await done).toString('latin1');
};

describe('LogPrinter', () => {
  it('passes bytes through untouched without a prefix', async () => {
    expect(await print(false, 'a\0\xff', '\r\n', 'no end')).toBe('a\0\xff\r\nno end');
  });

  it('puts the name before each line, also where chunks cut lines', async () => {
    expect(await print(true, 'on', 'e\ntwo\n', '\nthr', 'ee')).toBe('[c] one\n[c] two\n[c] \n[c] three\n');
  });

  it('waits for a slow reader and loses nothing', async () => {
    const out = new PassThrough({ highWaterMark: 16 });
    const printed = new LogPrinter(out, true).print(
      'c',
      chunks(...Array.from({ length: 200 }, (_, i) => `line ${i}\n`)),
    );
    const text = (async () => {
      let all = '';
      for await (const chunk of out) all += chunk;
      return all;
    })();
    await printed;
    out.end();
    expect((await text).split('\n')).toHaveLength(201);
  });

  it('throws the error of the source', async () => {
    const broken = (async function* (): AsyncGenerator<Uint8Array> {
      yield Buffer.from('x');
      throw new Error('link lost');
    })();
    await expect(new LogPrinter(new PassThrough(), false).print('c', broken)).rejects.toThrow('link lost');
  });
});
