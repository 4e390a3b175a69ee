import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Duplex, Readable } from 'node:stream';
import { getSystemErrorMap } from 'node:util';
import { InterlinkError, messageOf } from '../base/errors.ts';
import { machineOf } from './namespace-machine.ts';
import { buildProgram, type Program, type SystemCall } from './namespace-program.ts';

/** The step at which a {@link Program} stopped. */
export interface ProgramFailure {
  /** `what` of the call. */
  readonly what: string;
  /** Name of the error: `ENOENT`. */
  readonly errno: string;
  /** The error in words: `no such file or directory`. */
  readonly reason: string;
}

/** A program that runs, or has run. */
export interface SpawnedProgram {
  readonly pid: number;
  /** File descriptor 4 of the program, both ways. */
  readonly channel: Duplex;
  /**
   * Settles when the program has failed at a step, or when everybody has closed file descriptor 3: the last call was made, or `execve` has
   * put another program in its place.
   */
  readonly report: Promise<ProgramFailure | undefined>;
  /** Settles when the process has ended; the exit code is null after a signal. */
  readonly ended: Promise<number | null>;
  readonly child: ChildProcess;
}

/** What a standard descriptor is connected to; `pipe` shows up in `child`. */
export type Descriptor = number | 'ignore' | 'pipe';

export interface SpawnProgramOptions {
  /** Private directory on a file system that allows execution; the program is there only until it runs. */
  readonly directory: string;
  /** File descriptors 0, 1 and 2; `/dev/null` unless given. */
  readonly stdio?: readonly [Descriptor, Descriptor, Descriptor];
  /** Further open descriptors that the program gets as 5, 6, …. */
  readonly descriptors?: readonly number[];
}

/**
 * Starts a list of system calls as a process of its own, with an empty environment and in a session of its own. Call it on the main thread: the
 * kernel ties the parent-death signal to the thread.
 *
 * @throws Unsupported with code `runtime.noexec` when programs may not be executed in `directory`, Unavailable when it cannot be written to.
 */
export async function spawnProgram(program: Program, options: SpawnProgramOptions): Promise<SpawnedProgram> {
  const { directory, stdio = ['ignore', 'ignore', 'ignore'], descriptors = [] } = options;
  const { image, steps } = buildProgram(
    { ...program, calls: [closeFrom(5 + descriptors.length), ...program.calls] },
    machineOf(process.arch),
  );
  const path = join(directory, `program-${randomBytes(6).toString('hex')}`);
  try {
    writeFileSync(path, image, { mode: 0o700, flag: 'wx' });
  } catch (error) {
    throw new InterlinkError('Unavailable', `${directory} cannot hold a program: ${messageOf(error)}`, {
      code: 'runtime.directory',
      cause: error,
    });
  }
  try {
    const child = spawn(path, [], {
      argv0: 'interlink-container',
      env: {},
      detached: true,
      stdio: [...stdio, 'pipe', 'pipe', ...descriptors],
    });
    const ended = new Promise<number | null>((resolve) => child.once('exit', (code) => resolve(code)));
    const report = readReport(child.stdio[3] as Readable, steps);
    const channel = child.stdio[4] as Duplex;
    // The other side may be gone; `ended` and `report` tell.
    channel.on('error', () => {});
    await new Promise<void>((resolve, reject) => {
      child.once('spawn', resolve);
      child.once('error', (error) => reject(cannotExecute(directory, error)));
    });
    return { pid: child.pid as number, channel, report, ended, child };
  } finally {
    rmSync(path, { force: true });
  }
}

/** What this process has inherited by accident must not reach a container. Kernels before 5.9 do not have the call. */
function closeFrom(descriptor: number): SystemCall {
  return { call: 'close_range', args: [descriptor, 0xffff_ffff, 0], tolerate: 'all', what: 'close what is not ours' };
}

/** The one error of `execve` that Node has no name for. */
const ENOEXEC = -8;

function systemError(number: number): readonly [name: string, text: string] {
  return getSystemErrorMap().get(number) ?? [`errno ${-number}`, `error ${-number}`];
}

function cannotExecute(directory: string, error: Error): InterlinkError {
  return new InterlinkError(
    'Unsupported',
    `programs cannot be executed in ${directory} (${error.message}); give a scratch directory that is not mounted noexec`,
    { code: 'runtime.noexec', cause: error },
  );
}

async function readReport(stream: Readable, steps: readonly string[]): Promise<ProgramFailure | undefined> {
  const chunks: Buffer[] = [];
  await new Promise<void>((resolve) => {
    stream.on('data', (chunk: Buffer) => {
      chunks.push(chunk);
      if (Buffer.concat(chunks).length >= 8) resolve();
    });
    stream.once('error', () => resolve());
    stream.once('close', () => resolve());
    stream.once('end', () => resolve());
  });
  stream.destroy();
  const bytes = Buffer.concat(chunks);
  if (bytes.length < 8) return undefined;
  const number = bytes.readInt32LE(4);
  const [errno, reason] = number === ENOEXEC ? ['ENOEXEC', 'exec format error'] : systemError(number);
  return { what: steps[bytes.readUInt32LE(0)] ?? 'unknown step', errno, reason };
}
