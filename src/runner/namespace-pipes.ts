import { randomBytes } from 'node:crypto';
import { closeSync, constants, openSync, rmSync } from 'node:fs';
import { Socket } from 'node:net';
import { dirname, join } from 'node:path';
import type { Readable, Writable } from 'node:stream';
import { LINUX } from './namespace-linux.ts';
import type { SystemCall } from './namespace-program.ts';
import { runSystemCalls } from './namespace-run.ts';

/** A pipe of the kernel that a child writes to. */
export interface Pipe {
  readonly read: Readable;
  /** Descriptor of the writing end; closed by {@link closeWriters} once a child has it. */
  readonly write: number;
}

/** A pipe of the kernel that a child reads from. */
export interface InputPipe {
  /** Descriptor of the reading end, to be closed by the caller once a child has it. */
  readonly read: number;
  /** Ending it is the end of the child's input. */
  readonly write: Writable;
}

/**
 * Makes pipes. What Node's `spawn` calls a pipe is a socket, and a socket cannot be opened again by name: `echo >/dev/stdout`, and every image that logs
 * to a link to `/dev/stdout`, would fail.
 *
 * @throws Unavailable when `directory` cannot hold a FIFO.
 */
export function makePipes(count: number, directory: string): Promise<readonly Pipe[]> {
  return withFifos(count, directory, openAll);
}

/** Names of FIFOs in a directory, for {@link fifoCalls}. */
export function fifoPaths(count: number, directory: string): readonly string[] {
  return Array.from({ length: count }, () => join(directory, `pipe-${randomBytes(6).toString('hex')}`));
}

/** System calls that make the FIFOs, for a program that is run anyway. */
export function fifoCalls(paths: readonly string[]): readonly SystemCall[] {
  const { AT_FDCWD, S_IFIFO } = LINUX;
  return paths.map((path) => ({
    call: 'mknodat',
    args: [AT_FDCWD, path, S_IFIFO | 0o600, 0],
    what: `make a pipe in ${dirname(path)}`,
  }));
}

/** Opens FIFOs as what {@link makePipes} gives; their names are gone afterwards. */
export function openPipes(paths: readonly string[]): readonly Pipe[] {
  return openFifos(paths, openAll);
}

/** Makes a pipe for what a child reads; see {@link makePipes}. */
export function makeInputPipe(directory: string): Promise<InputPipe> {
  return withFifos(1, directory, ([path = '']) => {
    // Each end can only be opened when the other is there; the child's must block.
    const first = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
    const fd = openSync(path, constants.O_WRONLY | constants.O_NONBLOCK);
    const read = openSync(path, constants.O_RDONLY);
    closeSync(first);
    return { read, write: new Socket({ fd, readable: false, writable: true }) };
  });
}

/** Closes our copies of the writing ends, so that the readers see the end when the child and its children have gone. */
export function closeWriters(pipes: readonly Pipe[]): void {
  for (const { write } of pipes) closeSync(write);
}

async function withFifos<T>(count: number, directory: string, open: (paths: readonly string[]) => T): Promise<T> {
  const paths = fifoPaths(count, directory);
  await runSystemCalls(fifoCalls(paths), { directory });
  return openFifos(paths, open);
}

function openFifos<T>(paths: readonly string[], open: (paths: readonly string[]) => T): T {
  try {
    return open(paths);
  } finally {
    for (const path of paths) rmSync(path, { force: true });
  }
}

function openAll(paths: readonly string[]): readonly Pipe[] {
  return paths.map((path) => {
    const fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
    const write = openSync(path, constants.O_WRONLY);
    return { read: new Socket({ fd, readable: true, writable: false }), write };
  });
}
