import { closeSync } from 'node:fs';
import type { Readable, Writable } from 'node:stream';
import { finished } from 'node:stream/promises';
import type { ContainerOutput } from './container-runtime.ts';
import { closeWriters, makeInputPipe, makePipes, type Pipe } from './namespace-pipes.ts';
import { openTerminal } from './namespace-terminal.ts';

/** The standard descriptors of a program that is about to start, and our ends of them. */
export interface ProgramStreams {
  readonly stdio: readonly [number | 'ignore', number, number];
  readonly stdout: Readable;
  /** Absent for a terminal, which has one output for both. */
  readonly stderr: Readable | undefined;
  /** What the program reads; absent when it has nothing to read. */
  readonly stdin?: Writable;
  /** Closes the program's ends in this process; to be called once it has them. */
  closeOurs(): void;
  /** Gives our ends up. */
  discard(): void;
}

/** Two pipes for the output, `ready` where there are some, and one for the input when it is wanted. @throws Unavailable as `makePipes`. */
export async function pipeStreams(
  directory: string,
  { wantsInput = false, ready }: { readonly wantsInput?: boolean; readonly ready?: readonly Pipe[] | undefined } = {},
): Promise<ProgramStreams> {
  const pipes = ready ?? (await makePipes(2, directory));
  const [stdout, stderr] = pipes as [(typeof pipes)[number], (typeof pipes)[number]];
  const discard = (): void => {
    for (const { read } of pipes) read.destroy();
  };
  const output = { stdout: stdout.read, stderr: stderr.read };
  if (!wantsInput)
    return {
      ...output,
      stdio: ['ignore', stdout.write, stderr.write],
      closeOurs: () => closeWriters(pipes),
      discard,
    };
  const input = await makeInputPipe(directory).catch((error: unknown) => {
    closeWriters(pipes);
    discard();
    throw error;
  });
  return {
    ...output,
    stdio: [input.read, stdout.write, stderr.write],
    stdin: input.write,
    closeOurs: () => {
      closeSync(input.read);
      closeWriters(pipes);
    },
    discard: () => {
      discard();
      input.write.destroy();
    },
  };
}

/** A terminal of its own. @throws Unavailable as `openTerminal`. */
export async function terminalStreams(directory: string): Promise<ProgramStreams> {
  const { read, slave } = await openTerminal(directory);
  return {
    stdio: [slave, slave, slave],
    stdout: read,
    stderr: undefined,
    closeOurs: () => closeSync(slave),
    discard: () => {
      read.destroy();
    },
  };
}

/** Passes the output on and ends the targets; resolves when everybody has closed it and all of it is written. A target that fails loses the rest, but the program goes on writing. */
export async function drainStreams(
  { stdout, stderr }: Pick<ProgramStreams, 'stdout' | 'stderr'>,
  output: ContainerOutput,
): Promise<void> {
  await Promise.all([drain(stdout, output.stdout), drain(stderr, output.stderr)]);
}

async function drain(source: Readable | undefined, target: Writable): Promise<void> {
  if (source === undefined) {
    target.end();
    await finished(target).catch(() => {});
    return;
  }
  // A terminal tells its end by EIO; a broken target is its owner's to report.
  source.on('error', () => {});
  target.on('error', () => source.resume());
  source.pipe(target, { end: false });
  await finished(source, { writable: false }).catch(() => {});
  source.destroy();
  target.end();
  await finished(target).catch(() => {});
}

/**
 * Passes on what the program may read, until it reads no more; what is left of the source is thrown away then, as its sender cannot know.
 * @returns ends the program's input and lets go of the source
 */
export function feedInput(source: Readable, target: Writable): () => void {
  const stop = (): void => {
    source.unpipe(target);
    source.resume();
    target.destroy();
  };
  // The reading end was closed.
  target.once('error', stop);
  // A source that breaks is its owner's to report; the program sees the end of its input.
  source.once('error', stop);
  source.once('close', () => {
    if (!source.readableEnded) stop();
  });
  source.pipe(target);
  return stop;
}
