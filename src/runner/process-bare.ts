import { randomBytes } from 'node:crypto';
import { constants as osConstants } from 'node:os';
import { finished } from 'node:stream/promises';
import { type Clock, rfc3339 } from '../base/clock.ts';
import { InterlinkError, systemCodeOf } from '../base/errors.ts';
import { makePrivateDirectory } from '../base/files.ts';
import type { ContainerOutput, RunningContainer } from './container-runtime.ts';
import { type Command, commandCalls, describeFailure } from './namespace-command.ts';
import { closeWriters, makePipes } from './namespace-pipes.ts';
import { DIE_WITH_PARENT } from './namespace-sandbox.ts';
import { spawnProgram } from './namespace-spawn.ts';

/** What a process without isolation is: a command, and no terminal. */
export interface BareSetup {
  readonly command: Command;
  readonly tty: boolean;
}

/**
 * Starts the command as an ordinary process of this user, in a session of its own. Its end takes along what stayed in its process group; what has left the
 * group is the batch system's to end.
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
  const pipes = await makePipes(2, directory);
  const [stdout, stderr] = pipes as [(typeof pipes)[number], (typeof pipes)[number]];
  const run = await spawnProgram(
    { calls: [...DIE_WITH_PARENT, ...commandCalls(command, [])] },
    { directory, stdio: ['ignore', stdout.write, stderr.write] },
  ).finally(() => closeWriters(pipes));
  run.channel.destroy();
  const failure = await run.report;
  if (failure) {
    for (const { read } of pipes) read.destroy();
    throw new InterlinkError('Invalid', describeFailure(failure), { code: 'StartError', details: { ...failure } });
  }
  const startedAt = rfc3339(clock.nowMs());
  const signalGroup = (signal: NodeJS.Signals, target: number): void => {
    try {
      process.kill(target, signal);
    } catch (error) {
      if (systemCodeOf(error) !== 'ESRCH') throw error;
    }
  };
  let ended = false;
  stdout.read.pipe(output.stdout);
  stderr.read.pipe(output.stderr);
  const exited = (async () => {
    await run.ended;
    ended = true;
    signalGroup('SIGKILL', -run.pid);
    const finishedAt = rfc3339(clock.nowMs());
    await Promise.all([output.stdout, output.stderr].map((stream) => finished(stream).catch(() => {})));
    const signal = run.child.signalCode === null ? undefined : osConstants.signals[run.child.signalCode];
    return {
      exitCode: signal === undefined ? (run.child.exitCode ?? 255) : 128 + signal,
      ...(signal === undefined ? {} : { signal }),
      oomKilled: false,
      finishedAt,
    };
  })();
  return {
    id: randomBytes(32).toString('hex'),
    startedAt,
    pid: run.pid,
    exited,
    kill(signal) {
      if (!ended) signalGroup(signal, signal === 'SIGKILL' ? -run.pid : run.pid);
    },
  };
}
