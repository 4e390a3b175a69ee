import { PassThrough, Readable } from 'node:stream';
import type { CliIo } from '../../../src/cli/cli-io.ts';

/** A process in memory: what a command writes is read with `out()` and `err()`. */
export function memoryIo(options: { env?: Record<string, string>; tty?: boolean; signal?: AbortSignal } = {}): CliIo & {
  out(): string;
  err(): string;
} {
  const written = { out: '', err: '' };
  const capture = (name: 'out' | 'err') => {
    const stream = new PassThrough();
    stream.on('data', (chunk: Buffer) => {
      written[name] += chunk.toString();
    });
    return Object.assign(stream, options.tty ? { isTTY: true as const } : {});
  };
  return {
    stdin: Readable.from([]),
    stdout: capture('out'),
    stderr: capture('err'),
    env: options.env ?? {},
    signal: options.signal ?? new AbortController().signal,
    out: () => written.out,
    err: () => written.err,
  };
}
