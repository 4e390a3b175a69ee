import { Writable } from 'node:stream';
import { InterlinkError, messageOf } from '../base/errors.ts';
import type { RunningContainer } from './container-runtime.ts';
import { failure, MAX_PROBE_OUTPUT_BYTES, type ProbeResult, SUCCESS } from './probe-result.ts';

/**
 * Runs a program in the container; its exit code is the result. A program that takes too long, which `signal` says, is killed with all it has started.
 *
 * @param timeoutSeconds for the message
 * @throws Unavailable when the program cannot be executed: that says nothing about the container's health. NotFound when the container has ended.
 */
export async function probeExec(
  running: RunningContainer,
  command: readonly string[],
  { signal, timeoutSeconds }: { readonly signal: AbortSignal; readonly timeoutSeconds: number },
): Promise<ProbeResult> {
  const outputs = [new Kept(), new Kept()] as const;
  const aborted = Promise.withResolvers<undefined>();
  const abort = (): void => aborted.resolve(undefined);
  signal.addEventListener('abort', abort, { once: true });
  try {
    const exit = run(running, command, { stdout: outputs[0], stderr: outputs[1] }, signal);
    // One that is killed may still take its time to end.
    const result = await Promise.race([exit, aborted.promise]);
    if (result === undefined || signal.aborted) {
      exit.catch(() => {});
      return failure(`command timed out: ${JSON.stringify(command.join(' '))} timed out after ${timeoutSeconds}s`);
    }
    if (result === 0) return SUCCESS;
    const output = Buffer.concat(outputs.flatMap(({ chunks }) => chunks)).subarray(0, MAX_PROBE_OUTPUT_BYTES);
    return failure(output.toString());
  } finally {
    signal.removeEventListener('abort', abort);
  }
}

async function run(
  running: RunningContainer,
  argv: readonly string[],
  output: { readonly stdout: Writable; readonly stderr: Writable },
  signal: AbortSignal,
): Promise<number> {
  try {
    const program = await running.exec({ argv, output, signal });
    return (await program.exited).exitCode;
  } catch (error) {
    if (error instanceof InterlinkError && error.code === 'ContainerNotRunning') throw error;
    throw new InterlinkError('Unavailable', `failed to exec in container: ${messageOf(error)}`, {
      code: 'probe.exec',
      cause: error,
    });
  }
}

/** Keeps the beginning of what is written and lets the rest go. */
class Kept extends Writable {
  readonly chunks: Buffer[] = [];
  #bytes = 0;

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
    const part = chunk.subarray(0, Math.max(0, MAX_PROBE_OUTPUT_BYTES - this.#bytes));
    this.#bytes += part.length;
    if (part.length > 0) this.chunks.push(part);
    done();
  }
}
