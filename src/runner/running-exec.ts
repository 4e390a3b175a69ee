import { InterlinkError } from '../base/errors.ts';
import type { ExecRequest, RunningExec } from './container-runtime.ts';
import { describeFailure } from './namespace-command.ts';
import type { ProgramFailure } from './namespace-spawn.ts';
import { drainStreams, feedInput, type ProgramStreams } from './namespace-streams.ts';
import { killTree, sendSignal } from './process-tree.ts';

/** A program that has just been executed. */
export interface StartedExec {
  readonly pid: number;
  readonly streams: ProgramStreams;
  /** 128+n after signal n. */
  readonly exitCode: Promise<number>;
}

/** Connects the streams of a program with those of the request and watches over it. */
export function runningExec({ pid, streams, exitCode }: StartedExec, request: ExecRequest): RunningExec {
  const { stdin, output, signal } = request;
  const stopInput = stdin && streams.stdin ? feedInput(stdin, streams.stdin) : () => {};
  const written = drainStreams(streams, output);
  let ended = false;
  const kill = (name: NodeJS.Signals): void => {
    if (ended) return;
    if (name === 'SIGKILL') killTree(pid);
    else sendSignal(pid, name);
  };
  const abort = (): void => {
    kill('SIGKILL');
    // What a daemon that it has left behind still writes is of no interest any more.
    void exitCode.then(() => streams.discard());
  };
  signal.addEventListener('abort', abort, { once: true });
  const exited = exitCode.then(async (code) => {
    ended = true;
    stopInput();
    await written;
    signal.removeEventListener('abort', abort);
    return { exitCode: code };
  });
  if (signal.aborted) abort();
  return { exited, kill };
}

/** Why a program could not be executed, in the words that a kubelet shows for it. */
export function execError(failure: ProgramFailure): InterlinkError {
  return new InterlinkError(
    'Invalid',
    `OCI runtime exec failed: exec failed: unable to start container process: ${describeFailure(failure)}: unknown`,
    { code: 'ExecError', details: { ...failure } },
  );
}

/** Said of a container that has ended. */
export function containerNotRunning(): InterlinkError {
  return new InterlinkError('NotFound', 'container is not running: nothing can be executed in it', {
    code: 'ContainerNotRunning',
  });
}
