import { LINUX } from './namespace-linux.ts';

/**
 * How a process ended, by the four bytes that wait(2) gives.
 *
 * @param bytes Absent when nobody was left to tell: whoever waited was killed, and the process with it.
 */
export function waitStatus(bytes: Buffer | undefined): { readonly exitCode: number; readonly signal?: number } {
  const status = bytes?.readInt32LE() ?? LINUX.SIGKILL;
  const signal = status & 0x7f;
  return signal === 0 ? { exitCode: (status >> 8) & 0xff } : { exitCode: 128 + signal, signal };
}
