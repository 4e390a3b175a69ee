import { randomBytes } from 'node:crypto';
import { readlinkSync } from 'node:fs';
import { mkdir, rm, rmdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { CommandRunner } from '../base/command.ts';
import { InterlinkError, systemCodeOf } from '../base/errors.ts';
import { PRIVATE_DIRECTORY } from '../base/files.ts';
import { ChannelReader } from './namespace-channel.ts';
import { hasId, type IdMap, writeIdMap } from './namespace-ids.ts';
import { LINUX } from './namespace-linux.ts';
import { fifoCalls, fifoPaths, openPipes, type Pipe } from './namespace-pipes.ts';
import type { SystemCall } from './namespace-program.ts';
import { runSystemCalls } from './namespace-run.ts';
import { type ProgramFailure, type SpawnedProgram, spawnProgram } from './namespace-spawn.ts';

export interface SandboxOptions {
  /** Private directory on the worker, for as long as the sandbox lives. */
  readonly directory: string;
  /** Absent when the runner is root: the pod then has the worker's ids. */
  readonly ids?: IdMap;
  readonly commands: CommandRunner;
}

/**
 * What the containers of a pod share: the user namespace with its ids, host name, System V and POSIX shared memory, a process namespace for those that
 * ask for it, and the file systems that are mounted once for all. It ends with this process, however that ends.
 */
export interface Sandbox {
  /** Pid of the process that holds it: `/proc/PID/ns/…`. */
  readonly pid: number;
  readonly ids: IdMap | undefined;
  /** Private directory for the short-lived programs. */
  readonly directory: string;
  /** A directory that is a tmpfs in the sandbox and empty on the worker. It has the directories `shm` and `box`. */
  readonly work: string;
  /** System calls that bring a process into the sandbox, as root where the sandbox has one. */
  join(options?: { readonly processes?: boolean }): readonly SystemCall[];
  /**
   * Makes system calls in the sandbox.
   * @throws Unavailable naming the step.
   */
  run(calls: readonly SystemCall[]): Promise<void>;
  /** Two pipes for the output of a program that were made by an earlier one; undefined when all of them have been taken. */
  takePipes(): readonly Pipe[] | undefined;
  /** Keeps two FIFOs in {@link directory}, which a program has made besides its own work, for {@link takePipes}. */
  keepFifos(paths: readonly string[]): void;
  /** Ends the sandbox and every process in its process namespace; may be called again. */
  close(): Promise<void>;
}

const { AT_FDCWD, CLONE_NEWIPC, CLONE_NEWNS, CLONE_NEWPID, CLONE_NEWUSER, CLONE_NEWUTS } = LINUX;
const { MS_NODEV, MS_NOSUID, MS_SLAVE, MS_REC, PR_SET_DUMPABLE, PR_SET_PDEATHSIG, SIGCHLD, SIGKILL } = LINUX;

/** `struct sigaction` of the kernel with SIG_IGN as handler. */
const IGNORE = Buffer.concat([Buffer.from([1]), Buffer.alloc(31)]);

/** The kernel forgets the parent-death signal, and hides the process from its owner, whenever ids change: this comes after. */
export const DIE_WITH_PARENT: readonly SystemCall[] = [
  { call: 'prctl', args: [PR_SET_DUMPABLE, 1], what: 'stay visible' },
  { call: 'prctl', args: [PR_SET_PDEATHSIG, SIGKILL], what: 'die with the parent' },
];

const BECOME_ROOT: readonly SystemCall[] = [
  { call: 'setresgid', args: [0, 0, 0], what: 'become the root group of the user namespace' },
  { call: 'setresuid', args: [0, 0, 0], what: 'become root of the user namespace' },
];

/** System calls that turn a process which has joined the user namespace of a sandbox into its root; none where the namespace has no root. */
export function becomeRootCalls(ids: IdMap | undefined): readonly SystemCall[] {
  return ids === undefined || hasId(ids.uids, 0) ? BECOME_ROOT : [];
}

/**
 * Makes a sandbox.
 * @throws Unsupported when the kernel or the site forbids the namespaces: the message says which setting.
 */
export async function createSandbox(options: SandboxOptions): Promise<Sandbox> {
  const { directory, ids, commands } = options;
  if (readlinkSync('/proc/self') !== String(process.pid))
    throw new InterlinkError(
      'Unsupported',
      'this worker cannot isolate containers: its /proc is that of another process namespace. Start the job with a /proc of its own (unshare --mount-proc)',
      { code: 'runtime.proc' },
    );
  const work = join(directory, `sandbox-${randomBytes(4).toString('hex')}`);
  await mkdir(work, { mode: PRIVATE_DIRECTORY });
  const root = becomeRootCalls(ids);
  // Made here, as a program of their own would hold up the first container.
  const fifos = fifoPaths(2, directory);
  const run = await spawnProgram(
    {
      calls: [
        ...fifoCalls(fifos),
        ...(ids
          ? ([
              { call: 'unshare', args: [CLONE_NEWUSER], what: USER_NAMESPACE },
              { call: 'write', args: [4, 'u', 1], what: 'ask for ids' },
              { call: 'read', args: [4, { addressOf: 'answer' }, 1], what: 'wait for ids' },
            ] as const)
          : []),
        ...root,
        ...DIE_WITH_PARENT,
        { call: 'unshare', args: [CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWPID], what: NAMESPACES },
        // What the worker mounts later (on demand, as CernVM-FS) shows up here; nothing of ours gets out.
        { call: 'mount', args: ['none', '/', 0, MS_REC | MS_SLAVE, 0], what: 'keep mounts private' },
        tmpfs(work, 'mode=755'),
        { call: 'mkdirat', args: [AT_FDCWD, join(work, 'box'), 0o755], what: 'make a directory' },
        { call: 'mkdirat', args: [AT_FDCWD, join(work, 'shm'), 0o755], what: 'make a directory' },
        tmpfs(join(work, 'shm'), 'mode=1777'),
      ],
      fork: {
        save: 'child',
        parent: [
          { call: 'write', args: [4, { addressOf: 'child' }, 8], what: 'tell the pid' },
          { call: 'close', args: [3], what: 'close' },
          { call: 'wait4', args: [-1, 0, 0, 0], what: 'wait' },
        ],
        child: {
          calls: [
            ...DIE_WITH_PARENT,
            { call: 'close', args: [3], what: 'close' },
            { call: 'close', args: [4], what: 'close' },
            // Orphans of a shared process namespace end up here; the kernel takes away what ends.
            { call: 'rt_sigaction', args: [SIGCHLD, IGNORE, 0, 8], what: 'leave no zombies' },
            { call: 'ppoll', args: [0, 0, 0, 0], what: 'pause', forever: true },
          ],
        },
      },
    },
    { directory },
  );
  const reader = new ChannelReader(run.channel);
  try {
    if (ids && (await reader.read(1))) {
      await writeIdMap(run.pid, ids, { commands, write: (path, content) => writeFile(path, content) });
      run.channel.write('g');
    }
    const pid = await reader.read(8);
    const failure = await run.report;
    if (failure) throw describe(failure);
    if (!pid)
      throw new InterlinkError('Unavailable', 'the sandbox of the pod ended at once; see the log of the kernel');
    run.child.unref();
    (run.channel as { unref?: () => void }).unref?.();
    return new NamespaceSandbox(options, { work, fifos, pid: Number(pid.readBigInt64LE()), process: run });
  } catch (error) {
    run.child.kill('SIGKILL');
    run.channel.destroy();
    await run.ended;
    for (const path of fifos) await rm(path, { force: true });
    await rmdir(work);
    throw error;
  }
}

interface MadeSandbox {
  readonly work: string;
  readonly fifos: readonly string[];
  readonly pid: number;
  readonly process: SpawnedProgram;
}

class NamespaceSandbox implements Sandbox {
  readonly pid: number;
  readonly ids: IdMap | undefined;
  readonly directory: string;
  readonly work: string;
  readonly #process: SpawnedProgram;
  readonly #fifos: (readonly string[])[];
  #closed: Promise<void> | undefined;

  constructor({ directory, ids }: SandboxOptions, made: MadeSandbox) {
    this.pid = made.pid;
    this.ids = ids;
    this.directory = directory;
    this.work = made.work;
    this.#fifos = [made.fifos];
    this.#process = made.process;
  }

  join({ processes = false }: { readonly processes?: boolean } = {}): readonly SystemCall[] {
    const names = [...(this.ids ? ['user'] : []), 'mnt', 'ipc', 'uts', ...(processes ? ['pid'] : [])];
    const open = names.map(
      (name): SystemCall => ({
        call: 'openat',
        args: [AT_FDCWD, `/proc/${this.pid}/ns/${name}`, LINUX.O_CLOEXEC, 0],
        save: `ns-${name}`,
        what: `open the ${name} namespace of the pod`,
      }),
    );
    const enter = names.map(
      (name): SystemCall => ({
        call: 'setns',
        args: [{ slot: `ns-${name}` }, 0],
        what: `join the ${name} namespace of the pod`,
      }),
    );
    const root = becomeRootCalls(this.ids);
    return [...open, ...enter, ...root, ...DIE_WITH_PARENT];
  }

  run(calls: readonly SystemCall[]): Promise<void> {
    return runSystemCalls([...this.join(), ...calls], { directory: this.directory });
  }

  takePipes(): readonly Pipe[] | undefined {
    const fifos = this.#fifos.pop();
    return fifos && openPipes(fifos);
  }

  keepFifos(paths: readonly string[]): void {
    this.#fifos.push(paths);
  }

  close(): Promise<void> {
    this.#closed ??= this.#end();
    return this.#closed;
  }

  async #end(): Promise<void> {
    this.#process.child.ref();
    // The inner process first: the outer one takes it away and ends by itself.
    try {
      process.kill(this.pid, 'SIGKILL');
    } catch (error) {
      if (systemCodeOf(error) !== 'ESRCH') throw error;
    }
    await this.#process.ended;
    this.#process.channel.destroy();
    for (const path of this.#fifos.flat()) await rm(path, { force: true });
    await rmdir(this.work);
  }
}

function tmpfs(path: string, data: string): SystemCall {
  return {
    call: 'mount',
    args: ['tmpfs', path, 'tmpfs', MS_NOSUID | MS_NODEV, data],
    what: `mount a tmpfs at ${path}`,
  };
}

const USER_NAMESPACE = 'make a user namespace';
const NAMESPACES = 'make mount, process, IPC and host name namespaces';

function describe({ what, errno, reason }: ProgramFailure): InterlinkError {
  const details = { what, errno };
  if (errno === 'ENOSPC' || errno === 'EUSERS')
    return new InterlinkError(
      'Unsupported',
      'this worker cannot isolate containers: user namespaces are used up or off (user.max_user_namespaces). Ask the administrator for sysctl user.max_user_namespaces=15000',
      { code: 'runtime.namespaces', details },
    );
  if (errno === 'EPERM' && (what === USER_NAMESPACE || what === NAMESPACES))
    return new InterlinkError(
      'Unsupported',
      'this worker cannot isolate containers: the kernel forbids user namespaces (inside a chroot, by seccomp, or by sysctl ' +
        'kernel.unprivileged_userns_clone=0 or kernel.apparmor_restrict_unprivileged_userns=1). Ask the administrator to allow them',
      { code: 'runtime.namespaces', details },
    );
  return new InterlinkError('Unavailable', `the sandbox of the pod cannot be made: ${what}: ${reason}`, {
    code: 'runtime.sandbox',
    details,
  });
}
