import { Writable } from 'node:stream';
import type { Clock } from '../base/clock.ts';
import { InterlinkError, isKind, messageOf } from '../base/errors.ts';
import { withDeadline } from '../kube/with-deadline.ts';
import type { ContainerOutput, RunningContainer, RunningExec } from './container-runtime.ts';
import { failure, MAX_PROBE_OUTPUT_BYTES, type ProbeResult, SUCCESS } from './probe-result.ts';

/** How long the worker may take to get a program going. A machine that is busy computing takes seconds, and that is not the container's fault. */
const START_MS = 30_000;

export interface ExecProbeOptions {
  /** How long the program may run, from when it has been executed. */
  readonly timeoutSeconds: number;
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

/**
 * Runs a program in the container; its exit code is the result. A program that takes too long is a failure and is killed with all it has started.
 *
 * @throws Unavailable when the program cannot be executed: that says nothing about the container's health. NotFound when the container has ended.
 */
export async function probeExec(
  running: RunningContainer,
  command: readonly string[],
  { timeoutSeconds, clock, signal }: ExecProbeOptions,
): Promise<ProbeResult> {
  const [stdout, stderr] = [new Kept(), new Kept()];
  const late = new AbortController();
  const killed = AbortSignal.any([signal, late.signal]);
  try {
    const program = await start(running, command, { output: { stdout, stderr }, clock, signal, killed });
    const deadline = { clock, ms: timeoutSeconds * 1000, what: 'program of a probe', signal };
    const { exitCode } = await withDeadline(deadline, (limit) => orAborted(program.exited, limit));
    if (exitCode === 0) return SUCCESS;
  } catch (error) {
    // One that is killed may still take its time to end; nobody waits for it.
    late.abort();
    signal.throwIfAborted();
    if (!isKind(error, 'DeadlineExceeded')) throw error;
    return failure(`command timed out: ${JSON.stringify(command.join(' '))} timed out after ${timeoutSeconds}s`);
  }
  const output = Buffer.concat([...stdout.chunks, ...stderr.chunks]).subarray(0, MAX_PROBE_OUTPUT_BYTES);
  return failure(output.toString());
}

interface StartOptions {
  readonly output: ContainerOutput;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  /** Kills the program. */
  readonly killed: AbortSignal;
}

async function start(
  running: RunningContainer,
  argv: readonly string[],
  { output, clock, signal, killed }: StartOptions,
): Promise<RunningExec> {
  const what = `program ${JSON.stringify(argv[0] ?? '')}`;
  try {
    return await withDeadline({ clock, ms: START_MS, what, signal }, (limit) =>
      orAborted(running.exec({ argv, output, signal: killed }), limit),
    );
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof InterlinkError && error.code === 'ContainerNotRunning') throw error;
    throw new InterlinkError('Unavailable', `failed to exec in container: ${messageOf(error)}`, {
      code: 'probe.exec',
      cause: error,
    });
  }
}

/** The promise's value, unless the signal aborts before: then its reason, and what the promise comes to is nobody's any more. */
async function orAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  const { promise: aborted, reject } = Promise.withResolvers<never>();
  const abort = (): void => reject(signal.reason);
  signal.addEventListener('abort', abort, { once: true });
  if (signal.aborted) abort();
  try {
    return await Promise.race([promise, aborted]);
  } finally {
    signal.removeEventListener('abort', abort);
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
