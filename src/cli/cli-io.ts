import type { Readable } from 'node:stream';
import type { WriteStream } from 'node:tty';

/** An output of the process; `isTTY` is set when it is a terminal. */
export type CliOutput = NodeJS.WritableStream & Partial<Pick<WriteStream, 'isTTY' | 'columns'>>;

/** Everything of the process that a command may touch, so that tests can run commands in memory. */
export interface CliIo {
  readonly stdin: Readable;
  /** Data, and nothing else. */
  readonly stdout: CliOutput;
  /** Messages for people and logs. */
  readonly stderr: CliOutput;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Aborted by the first SIGINT or SIGTERM where the command asked for that; otherwise never. */
  readonly signal: AbortSignal;
}
