import { randomBytes } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import type { Duplex } from 'node:stream';
import { type Clock, rfc3339 } from '../base/clock.ts';
import { InterlinkError, systemCodeOf } from '../base/errors.ts';
import type { Logger } from '../base/logger.ts';
import type { ContainerExit, ContainerOutput, RunningContainer } from './container-runtime.ts';
import { ChannelReader } from './namespace-channel.ts';
import { type Command, commandCalls, describeFailure } from './namespace-command.ts';
import { type Identity, identityCalls } from './namespace-identity.ts';
import { execInContainer } from './namespace-join.ts';
import { LINUX } from './namespace-linux.ts';
import { closeCalls, VICTIM } from './namespace-process.ts';
import type { Program, SystemCall } from './namespace-program.ts';
import { DIE_WITH_PARENT, type Sandbox } from './namespace-sandbox.ts';
import { type SpawnedProgram, spawnProgram } from './namespace-spawn.ts';
import { waitStatus } from './namespace-status.ts';
import { drainStreams, pipeStreams, terminalStreams } from './namespace-streams.ts';
import { containerProcesses } from './namespace-sweep.ts';
import { sendSignal } from './process-tree.ts';
import { containerNotRunning } from './running-exec.ts';

/** A container as system calls. */
export interface ContainerSetup {
  /** Made in the container's own mount and process namespace: they end with the container's root as root. */
  readonly root: readonly SystemCall[];
  readonly identity: Identity;
  readonly command: Command;
  readonly tty: boolean;
  /** Whether it shares the sandbox's process namespace instead of having its own. */
  readonly sharedProcesses: boolean;
  /** Of the pod: each container sets it. */
  readonly hostname: string;
}

export interface StartContainerDeps {
  readonly sandbox: Sandbox;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** How often, and how many milliseconds apart, the first process is looked for. */
const LOOKS = 200;
const LOOK_AGAIN_MS = 5;

const { CLONE_NEWNS, CLONE_NEWPID, EPERM, TIOCSCTTY } = LINUX;

/**
 * Starts a container in the sandbox of its pod and resolves once its program has been executed. Three processes are involved: one that joins the sandbox, a keeper in
 * the sandbox that tells how the container ended, and the container's first process. All of them die with the sandbox.
 *
 * @throws Invalid with code `StartError` when a step fails; nothing is left then and nothing was written to `output`.
 */
export async function startContainer(
  setup: ContainerSetup,
  output: ContainerOutput,
  { sandbox, clock, logger }: StartContainerDeps,
): Promise<RunningContainer> {
  const streams = setup.tty
    ? await terminalStreams(sandbox.directory)
    : await pipeStreams(sandbox.directory, { ready: sandbox.takePipes() });
  let run: SpawnedProgram;
  try {
    run = await spawnProgram(programOf(setup, sandbox), { directory: sandbox.directory, stdio: streams.stdio });
  } catch (error) {
    streams.discard();
    throw error;
  } finally {
    streams.closeOurs();
  }
  const reader = new ChannelReader(run.channel);
  const isMade = (await reader.read(1)) !== undefined;
  const keeper = isMade ? await findOnlyChild(run.pid, clock, () => false) : undefined;
  const pid = keeper === undefined ? undefined : await findOnlyChild(keeper, clock, () => reader.hasBytes);
  const failure = await run.report;
  if (failure || keeper === undefined) {
    // What the keeper tells now is only that the half-made container has gone.
    await reader.read(4);
    run.channel.destroy();
    streams.discard();
    await run.ended;
    throw new InterlinkError(
      'Invalid',
      failure ? describeFailure(failure) : 'the container could not be made: it was killed',
      {
        code: 'StartError',
        details: { ...failure },
      },
    );
  }
  const startedAt = rfc3339(clock.nowMs());
  // Elsewhere the kernel ends everything with the first process.
  const others = setup.sharedProcesses ? containerProcesses(keeper, sandbox.pid) : undefined;
  const written = drainStreams(streams, output);
  let ended = false;
  const exited = (async (): Promise<ContainerExit> => {
    const status = await reader.read(4);
    ended = true;
    others?.end(logger);
    acknowledge(run.channel);
    const finishedAt = rfc3339(clock.nowMs());
    await Promise.all([written, run.ended]);
    return { ...waitStatus(status), oomKilled: false, finishedAt };
  })();
  return {
    id: randomBytes(32).toString('hex'),
    startedAt,
    pid,
    exited,
    kill(signal) {
      if (ended) return;
      const target = pid ?? onlyChild(keeper);
      if (target !== undefined) sendSignal(target, signal);
      // The container dies with its keeper.
      else if (signal === 'SIGKILL') sendSignal(keeper, signal);
      else logger.warn('the first process of a container cannot be found; the signal is lost', { signal, keeper });
    },
    async exec(request) {
      if (ended) throw containerNotRunning();
      const { identity, command } = setup;
      return execInContainer({ keeper, first: pid, sandbox, identity, command, isRunning: () => !ended }, request);
    },
  };
}

function programOf(setup: ContainerSetup, sandbox: Sandbox): Program {
  const { root, identity, command, tty, sharedProcesses, hostname } = setup;
  const host = Buffer.from(hostname);
  const namespaces = CLONE_NEWNS | (sharedProcesses ? 0 : CLONE_NEWPID);
  return {
    calls: [
      ...sandbox.join({ processes: true }),
      { call: 'sethostname', args: [host, host.length], what: `set the host name ${hostname}` },
    ],
    fork: {
      save: 'keeper',
      parent: [
        // Only the keeper writes to the channel: of two writers nobody could tell which came first.
        ...closeCalls([0, 1, 2, 3, 4]),
        // Outside of the sandbox's process namespace nobody else would take the keeper away.
        { call: 'wait4', args: [{ slot: 'keeper' }, 0, 0, 0], what: 'wait' },
      ],
      child: {
        calls: [{ call: 'unshare', args: [namespaces], what: 'make the namespaces of the container' }],
        fork: {
          save: 'first',
          parent: [
            { call: 'write', args: [4, '+', 1], what: 'tell that the container exists' },
            // The ends of the output and of the report must be the container's alone.
            ...closeCalls([0, 1, 2, 3]),
            { call: 'wait4', args: [{ slot: 'first' }, { addressOf: 'status' }, 0, 0], what: 'wait' },
            { call: 'write', args: [4, { addressOf: 'status' }, 4], what: 'tell the end' },
            { call: 'read', args: [4, { addressOf: 'status' }, 1], what: 'wait until it is known' },
          ],
          child: {
            calls: [
              ...DIE_WITH_PARENT,
              { call: 'close', args: [4], what: 'close' },
              { call: 'umask', args: [0o22], what: 'set the mask of new files' },
              { call: 'setsid', args: [], tolerate: [EPERM], what: 'make a session' },
              ...VICTIM,
              ...root,
              ...(tty ? ([{ call: 'ioctl', args: [0, TIOCSCTTY, 0], what: 'take the terminal' }] as const) : []),
              ...commandCalls(command, identityCalls(identity, process.arch)),
            ],
          },
        },
      },
    },
  };
}

function acknowledge(channel: Duplex): void {
  channel.end(Buffer.of(0));
  channel.resume();
}

/** Pid, as this process sees it, of the only child of a process; undefined once that has ended. */
function onlyChild(parent: number): number | undefined {
  try {
    const text = readFileSync(`/proc/${parent}/task/${parent}/children`, 'utf8').trim();
    return text === '' ? undefined : Number(text.split(' ')[0]);
  } catch (error) {
    if (systemCodeOf(error) !== 'ENOENT' && systemCodeOf(error) !== 'ESRCH') throw error;
    return undefined;
  }
}

/** The kernel does not promise that its list of children is complete while processes come and go, so it is read again until `isOver`. */
async function findOnlyChild(parent: number, clock: Clock, isOver: () => boolean): Promise<number | undefined> {
  for (let tries = 0; tries < LOOKS; tries += 1) {
    const pid = onlyChild(parent);
    if (pid !== undefined || isOver() || !existsSync(`/proc/${parent}`)) return pid;
    await clock.sleep(LOOK_AGAIN_MS);
  }
  return undefined;
}
