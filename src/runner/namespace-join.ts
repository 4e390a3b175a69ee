import { closeSync, constants, openSync, rmSync } from 'node:fs';
import { InterlinkError, systemCodeOf } from '../base/errors.ts';
import type { ExecRequest, RunningExec } from './container-runtime.ts';
import { ChannelReader } from './namespace-channel.ts';
import { type Command, commandCalls } from './namespace-command.ts';
import { type Identity, identityCalls } from './namespace-identity.ts';
import { LINUX } from './namespace-linux.ts';
import { fifoCalls, fifoPaths } from './namespace-pipes.ts';
import { closeCalls, VICTIM } from './namespace-process.ts';
import { FORK, type Program, type SystemCall } from './namespace-program.ts';
import { becomeRootCalls, DIE_WITH_PARENT, type Sandbox } from './namespace-sandbox.ts';
import { spawnProgram } from './namespace-spawn.ts';
import { waitStatus } from './namespace-status.ts';
import { pipeStreams } from './namespace-streams.ts';
import { containerNotRunning, execError, runningExec } from './running-exec.ts';

/** The container that is joined, as it was started. */
export interface JoinedContainer {
  /** Pid of its keeper, which lives as long as the container. */
  readonly keeper: number;
  /** Pid of its first process. */
  readonly first: number | undefined;
  readonly sandbox: Sandbox;
  readonly identity: Identity;
  /** Environment and working directory. */
  readonly command: Omit<Command, 'argv'>;
  /** Whether the keeper still lives for certain, and its pid means no other process. */
  isRunning(): boolean;
}

/** Where the descriptors of the namespaces begin. */
const FIRST_DESCRIPTOR = 5;

/**
 * Executes another program in a running container. The namespaces are the keeper's, which are the container's own from its beginning; the program gets the same
 * restrictions in the same order as the container's first process did. One process of the worker stays with it, to tell how it ends.
 *
 * @throws as `RunningContainer.exec`.
 */
export async function execInContainer(container: JoinedContainer, request: ExecRequest): Promise<RunningExec> {
  request.signal.throwIfAborted();
  const { sandbox } = container;
  const streams = await pipeStreams(sandbox.directory, {
    wantsInput: request.stdin !== undefined,
    ready: sandbox.takePipes(),
  });
  // For the next one: a probe then costs one program of ours and not two.
  const fifos = fifoPaths(2, sandbox.directory);
  const namespaces: number[] = [];
  try {
    namespaces.push(...openNamespaces(container));
    const { calls, ...program } = programOf(container, request, namespaces.length);
    const run = await spawnProgram(
      { ...program, calls: [...fifoCalls(fifos), ...calls] },
      {
        directory: sandbox.directory,
        stdio: streams.stdio,
        descriptors: namespaces,
      },
    );
    const reader = new ChannelReader(run.channel);
    const pid = await reader.read(8);
    const failure = await run.report;
    if (pid && !failure) {
      sandbox.keepFifos(fifos);
      const exitCode = reader.read(4).then((status) => {
        run.channel.destroy();
        return waitStatus(status).exitCode;
      });
      return runningExec({ pid: Number(pid.readBigInt64LE()), streams, exitCode }, request);
    }
    run.channel.destroy();
    await run.ended;
    for (const path of fifos) rmSync(path, { force: true });
    // The kernel makes no process in a namespace whose first process has ended.
    if (!failure || failure.what === FORK) throw containerNotRunning();
    throw execError(failure);
  } catch (error) {
    streams.discard();
    throw error;
  } finally {
    streams.closeOurs();
    for (const descriptor of namespaces) closeSync(descriptor);
  }
}

/** In the order in which they are joined; opened here, where the keeper is known to live. @throws NotFound when it does not. */
function openNamespaces({ keeper, first, sandbox, identity, isRunning }: JoinedContainer): readonly number[] {
  if (!isRunning()) throw containerNotRunning();
  if (identity.renamed && first === undefined)
    throw new InterlinkError('Unavailable', 'the user namespace of the container cannot be found', {
      code: 'ExecError',
    });
  const paths = [
    ...(sandbox.ids ? [`/proc/${keeper}/ns/user`] : []),
    ...['pid_for_children', 'mnt', 'ipc', 'uts'].map((name) => `/proc/${keeper}/ns/${name}`),
    ...(identity.renamed ? [`/proc/${first}/ns/user`] : []),
  ];
  const opened: number[] = [];
  try {
    for (const path of paths) opened.push(openSync(path, constants.O_RDONLY));
    return opened;
  } catch (error) {
    for (const descriptor of opened) closeSync(descriptor);
    if (systemCodeOf(error) === 'ENOENT' || systemCodeOf(error) === 'ESRCH') throw containerNotRunning();
    throw error;
  }
}

function programOf(container: JoinedContainer, request: ExecRequest, count: number): Program {
  const { sandbox, identity, command } = container;
  const join = (descriptor: number, name: string): SystemCall => ({
    call: 'setns',
    args: [descriptor, 0],
    what: `join the ${name} namespace of the container`,
  });
  const descriptors = Array.from({ length: count }, (_, index) => FIRST_DESCRIPTOR + index);
  const rest = [...descriptors];
  const user = sandbox.ids ? rest.shift() : undefined;
  const own = identity.renamed ? rest.pop() : undefined;
  const [processes = 0, ...others] = rest;
  return {
    calls: [
      ...(user === undefined ? [] : [join(user, 'user'), ...becomeRootCalls(sandbox.ids)]),
      ...DIE_WITH_PARENT,
      join(processes, 'process'),
    ],
    fork: {
      save: 'program',
      parent: [
        { call: 'write', args: [4, { addressOf: 'program' }, 8], what: 'tell the pid' },
        ...closeCalls([0, 1, 2, 3, ...descriptors]),
        { call: 'wait4', args: [{ slot: 'program' }, { addressOf: 'status' }, 0, 0], what: 'wait' },
        { call: 'write', args: [4, { addressOf: 'status' }, 4], what: 'tell the end' },
      ],
      child: {
        calls: [
          ...DIE_WITH_PARENT,
          { call: 'close', args: [4], what: 'close' },
          { call: 'umask', args: [0o22], what: 'set the mask of new files' },
          { call: 'setsid', args: [], tolerate: [LINUX.EPERM], what: 'make a session' },
          // While /proc is the worker's.
          ...VICTIM,
          ...others.map((descriptor, index) => join(descriptor, ['mount', 'IPC', 'host name'][index] ?? '')),
          ...(own === undefined ? [] : [join(own, 'own user')]),
          ...closeCalls(descriptors),
          ...commandCalls(
            { ...command, argv: request.argv },
            identityCalls({ ...identity, renamed: false }, process.arch),
          ),
        ],
      },
    },
  };
}
