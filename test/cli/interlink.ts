import { spawn } from 'node:child_process';
import { resolve } from 'node:path';

/** The executable that `npm run build` made. */
export const INTERLINK = resolve(import.meta.dirname, '../../dist/interlink');

/** What a command did. */
export interface Outcome {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

/** Runs the executable with nothing in its environment but `env`, and `input` as its standard input. */
export function interlink(
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
  input = '',
): Promise<Outcome> {
  return new Promise((done, reject) => {
    const child = spawn(INTERLINK, args, {
      env: { PATH: process.env.PATH ?? '', ...env },
      stdio: ['pipe', 'pipe', 'pipe'],
    });
    // A command that ends without reading closes the pipe.
    child.stdin.on('error', () => {});
    child.stdin.end(input);
    const output = { out: '', err: '' };
    child.stdout.on('data', (chunk: Buffer) => {
      output.out += chunk.toString();
    });
    child.stderr.on('data', (chunk: Buffer) => {
      output.err += chunk.toString();
    });
    child.once('error', reject);
    child.once('close', (code) => done({ code, ...output }));
  });
}
