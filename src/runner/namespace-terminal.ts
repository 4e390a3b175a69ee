import { closeSync, constants, openSync, readFileSync } from 'node:fs';
import { ReadStream } from 'node:tty';
import { InterlinkError } from '../base/errors.ts';
import { LINUX } from './namespace-linux.ts';
import { runSystemCalls } from './namespace-run.ts';

/** A pseudo-terminal of the worker. */
export interface Terminal {
  /** What the container writes; it ends when the last process has closed the terminal. */
  readonly read: ReadStream;
  /** Descriptor of the container's side, to be closed by the caller once a child has it. */
  readonly slave: number;
  /** Path of the container's side on the worker. */
  readonly path: string;
}

/**
 * Opens a pseudo-terminal. The kernel wants the container's side unlocked by an ioctl that Node has no call for.
 * @throws Unavailable when the worker has no more terminals or no `/dev/ptmx`.
 */
export async function openTerminal(directory: string): Promise<Terminal> {
  const master = openSync('/dev/ptmx', constants.O_RDWR | constants.O_NOCTTY);
  try {
    const index = /^tty-index:\s*(\d+)$/m.exec(readFileSync(`/proc/self/fdinfo/${master}`, 'utf8'))?.[1];
    if (index === undefined)
      throw new InterlinkError(
        'Unavailable',
        'the kernel does not tell the number of a new terminal; Linux 4.4 or newer is needed',
      );
    await runSystemCalls([{ call: 'ioctl', args: [5, LINUX.TIOCSPTLCK, Buffer.alloc(8)], what: 'unlock a terminal' }], {
      directory,
      descriptors: [master],
    });
    const path = `/dev/pts/${index}`;
    const slave = openSync(path, constants.O_RDWR | constants.O_NOCTTY);
    return { read: new ReadStream(master), slave, path };
  } catch (error) {
    closeSync(master);
    throw error;
  }
}
