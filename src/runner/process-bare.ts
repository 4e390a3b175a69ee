import { randomBytes } from 'node:crypto';
import { constants as osConstants } from 'node:os';
import { type Clock, rfc3339 } from '../base/clock.ts';
import { InterlinkError } from '../base/errors.ts';
import { makePrivateDirectory } from '../base/files.ts';
import type { ContainerOutput, ExecRequest, RunningContainer, RunningExec } from './container-runtime.ts';
import { type Command, commandCalls, describeFailure } from './namespace-command.ts';
import { DIE_WITH_PARENT } from './namespace-sandbox.ts';
import { type ProgramFailure, type SpawnedProgram, spawnProgram } from './namespace-spawn.ts';
import { drainStreams, type ProgramStreams, pipeStreams } from './namespace-streams.ts';
import { sendSignal } from './process-tree.ts';
import { containerNotRunning, execError, runningExec } from './running-exec.ts';

/** What a process without isolation is: a command, and no terminal. */
export interface BareSetup {
  readonly command: Command;
  readonly tty: boolean;
}

/**
 * Starts the command as an ordinary process of this user, in a session of its own. Its end takes along what stayed in its process group, and the programs that
 * are executed beside it; what has left the group is the batch system's to end.
 *
 * @throws Invalid with code `StartError` when it cannot be executed, Unsupported with `CreateContainerConfigError` for a terminal.
 */
export async function startBareProcess(
  { command, tty }: BareSetup,
  output: ContainerOutput,
  { directory, clock }: { readonly directory: string; readonly clock: Clock },
): Promise<RunningContainer> {
  if (tty)
    throw new InterlinkError('Unsupported', 'a container without isolation cannot have a terminal; leave out tty', {
      code: 'CreateContainerConfigError',
    });
  await makePrivateDirectory(directory);
  const { run, streams, failure } = await execute(command, directory, false);
  if (failure)
    throw new InterlinkError('Invalid', describeFailure(failure), { code: 'StartError', details: { ...failure } });
  const startedAt = rfc3339(clock.nowMs());
  const execs = new Set<RunningExec>();
  let ended = false;
  const written = drainStreams(streams, output);
  const exited = (async () => {
    const status = await bareStatus(run);
    ended = true;
    sendSignal(-run.pid, 'SIGKILL');
    for (const exec of execs) exec.kill('SIGKILL');
    const finishedAt = rfc3339(clock.nowMs());
    await written;
    return { ...status, oomKilled: false, finishedAt };
  })();
  return {
    id: randomBytes(32).toString('hex'),
    startedAt,
    pid: run.pid,
    exited,
    kill(signal) {
      if (!ended) sendSignal(signal === 'SIGKILL' ? -run.pid : run.pid, signal);
    },
    async exec(request) {
      if (ended) throw containerNotRunning();
      const exec = await execBare({ ...command, argv: request.argv }, request, directory);
      execs.add(exec);
      void exec.exited.then(() => execs.delete(exec));
      // It may have ended meanwhile.
      if (ended) exec.kill('SIGKILL');
      return exec;
    },
  };
}

async function execBare(command: Command, request: ExecRequest, directory: string): Promise<RunningExec> {
  request.signal.throwIfAborted();
  const { run, streams, failure } = await execute(command, directory, request.stdin !== undefined);
  if (failure) throw execError(failure);
  return runningExec({ pid: run.pid, streams, exitCode: bareStatus(run).then(({ exitCode }) => exitCode) }, request);
}

/** Nothing is left of the streams when there is a failure. */
async function execute(
  command: Command,
  directory: string,
  wantsInput: boolean,
): Promise<{ readonly run: SpawnedProgram; readonly streams: ProgramStreams; readonly failure?: ProgramFailure }> {
  const streams = await pipeStreams(directory, { wantsInput });
  try {
    const run = await spawnProgram(
      { calls: [...DIE_WITH_PARENT, ...commandCalls(command, [])] },
      { directory, stdio: streams.stdio },
    );
    run.channel.destroy();
    const failure = await run.report;
    if (failure) streams.discard();
    return { run, streams, ...(failure && { failure }) };
  } catch (error) {
    streams.discard();
    throw error;
  } finally {
    streams.closeOurs();
  }
}

async function bareStatus(run: SpawnedProgram): Promise<{ readonly exitCode: number; readonly signal?: number }> {
  const code = await run.ended;
  if (code !== null) return { exitCode: code };
  const signal = osConstants.signals[run.child.signalCode ?? 'SIGKILL'];
  return { exitCode: 128 + signal, signal };
}
