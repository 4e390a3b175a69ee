import { spawn } from 'node:child_process';
import type { Readable } from 'node:stream';
import { InterlinkError, systemCodeOf } from './errors.ts';

/** How a program is run. */
export interface CommandOptions {
  readonly stdin?: string | Uint8Array;
  /** The whole environment of the command; nothing is inherited. */
  readonly env: Readonly<Record<string, string>>;
  readonly cwd?: string;
  /** After this time the process group gets SIGTERM, 2 s later SIGKILL. */
  readonly timeoutMs: number;
  /** Bytes of each output stream that are kept; more is dropped and reported by `truncated`. 16 MiB unless given. */
  readonly maxOutputBytes?: number;
  readonly signal?: AbortSignal | undefined;
}

/** What a program did, whatever its exit code. */
export interface CommandResult {
  readonly argv: readonly string[];
  /** Null when a signal ended the command. */
  readonly exitCode: number | null;
  readonly exitSignal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
  /** Whether the time limit ended it: the outcome of what it did is then unknown. */
  readonly timedOut: boolean;
  readonly truncated: boolean;
}

/** Runs programs of the site. `argv` reaches the program as it is; no shell is involved. */
export interface CommandRunner {
  /**
   * Resolves with what happened, whatever the exit code.
   * @throws NotFound when the program does not exist, Forbidden when it may not be executed, `signal.reason` on abort.
   */
  run(argv: readonly [string, ...string[]], options: CommandOptions): Promise<CommandResult>;
}

const KILL_AFTER_MS = 2_000;
const MAX_OUTPUT_BYTES = 16 * 1024 * 1024;

/** Runs programs on this machine, each in a process group of its own. */
export const localCommandRunner: CommandRunner = {
  async run(argv, options) {
    const { stdin, env, cwd, timeoutMs, maxOutputBytes = MAX_OUTPUT_BYTES, signal } = options;
    signal?.throwIfAborted();
    const [program, ...args] = argv;
    const child = spawn(program, args, {
      env: { ...env },
      ...(cwd === undefined ? {} : { cwd }),
      stdio: [stdin === undefined ? 'ignore' : 'pipe', 'pipe', 'pipe'],
      detached: true,
    });
    const collected = [collect(child.stdout, maxOutputBytes), collect(child.stderr, maxOutputBytes)] as const;
    if (stdin !== undefined) {
      // A command that ends without reading its input closes the pipe; its exit code tells what happened.
      child.stdin?.on('error', () => {});
      child.stdin?.end(stdin);
    }
    let timedOut = false;
    const kill = (name: NodeJS.Signals): void => {
      if (child.pid === undefined) return;
      try {
        process.kill(-child.pid, name);
      } catch (error) {
        if (systemCodeOf(error) !== 'ESRCH') throw error;
      }
    };
    let killTimer: NodeJS.Timeout | undefined;
    const terminate = (): void => {
      kill('SIGTERM');
      killTimer ??= setTimeout(() => kill('SIGKILL'), KILL_AFTER_MS);
    };
    const timer = setTimeout(() => {
      timedOut = true;
      terminate();
    }, timeoutMs);
    signal?.addEventListener('abort', terminate, { once: true });
    try {
      const [exitCode, exitSignal] = await new Promise<[number | null, NodeJS.Signals | null]>((resolve, reject) => {
        child.once('error', (error) => reject(describeSpawnError(error, program, cwd)));
        child.once('close', (code, name) => resolve([code, name]));
      });
      signal?.throwIfAborted();
      const [stdout, stderr] = [collected[0](), collected[1]()];
      return {
        argv,
        exitCode,
        exitSignal,
        stdout: stdout.text,
        stderr: stderr.text,
        timedOut,
        truncated: stdout.truncated || stderr.truncated,
      };
    } finally {
      clearTimeout(timer);
      clearTimeout(killTimer);
      signal?.removeEventListener('abort', terminate);
    }
  },
};

function collect(stream: Readable | null, limit: number): () => { text: string; truncated: boolean } {
  const chunks: Buffer[] = [];
  let size = 0;
  let truncated = false;
  stream?.on('data', (chunk: Buffer) => {
    const rest = limit - size;
    if (chunk.length > rest) truncated = true;
    if (rest <= 0) return;
    chunks.push(chunk.subarray(0, rest));
    size += Math.min(chunk.length, rest);
  });
  return () => ({ text: Buffer.concat(chunks).toString('utf8'), truncated });
}

function describeSpawnError(error: Error, program: string, cwd: string | undefined): Error {
  const at = cwd === undefined ? '' : ` (working directory ${cwd})`;
  switch (systemCodeOf(error)) {
    case 'ENOENT':
      return new InterlinkError('NotFound', `${program}: no such program${at}; install it or set its path`, {
        code: 'command.missing',
        cause: error,
      });
    case 'EACCES':
      return new InterlinkError('Forbidden', `${program}: not executable${at}`, {
        code: 'command.forbidden',
        cause: error,
      });
    default:
      return new InterlinkError('Unavailable', `${program}: cannot be started${at}: ${error.message}`, {
        code: 'command.failed',
        cause: error,
      });
  }
}
