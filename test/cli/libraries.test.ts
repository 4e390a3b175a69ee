import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { buildProgram } from '../../scripts/build/program.ts';
import { hostTarget } from '../../scripts/build/targets.ts';

const root = resolve(import.meta.dirname, '../..');
/** Not the real ones: the commit may change between the two builds, and with it the names of the chunks. */
const FACTS = { version: '1.2.3', commit: '0123456789ab' };
const directory = mkdtempSync(join(tmpdir(), 'interlink-probe-'));
afterAll(() => rmSync(directory, { recursive: true }));

async function build(name: string): Promise<string> {
  const output = join(directory, name);
  await buildProgram({ root, entry: 'test/cli/probe/library-probe.ts', target: hostTarget(), facts: FACTS, output });
  return output;
}

describe('an executable built like ours', () => {
  it('runs every library that the program needs, and comes out the same twice', async () => {
    const [first, second] = [await build('first'), await build('second')];
    const output = execFileSync(first, ['probe'], { encoding: 'utf8', env: {} });
    expect(output.trim().split('\n')).toEqual([
      'node:sqlite: 42',
      'ws: echo hello',
      'pino: {"level":30,"msg":"hello"}',
      'zod: false',
      'yaml: {"a":[1,{"b":15}]}',
      'undici: plain',
      'jose: me EC',
      'openid-client: 127.0.0.1',
      'prom-client: true',
    ]);
    expect(digest(second)).toBe(digest(first));
  }, 300_000);
});

function digest(file: string): string {
  return createHash('sha256').update(readFileSync(file)).digest('hex');
}
