import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { InterlinkError } from '../base/errors.ts';
import { makePrivateDirectory } from '../base/files.ts';
import { findProgram } from './image-tool.ts';
import { runInSandbox, type SandboxCommandResult } from './namespace-exec.ts';
import { LINUX } from './namespace-linux.ts';
import { procCall } from './namespace-proc.ts';
import type { SystemCall } from './namespace-program.ts';
import type { Sandbox } from './namespace-sandbox.ts';
import { currentUser } from './namespace-user.ts';

export interface PodmanCommandDeps {
  readonly program: string;
  /** Directory of Podman's storage; made where it is missing. */
  readonly storage: string;
  /** Directory for what Podman downloads. */
  readonly temporary: string;
  readonly environment: Readonly<Record<string, string>>;
  readonly sandbox: Sandbox;
  readonly signal?: AbortSignal;
}

/**
 * Runs `podman` on a storage of our own, as the root of the pod's sandbox: the files of an image so get the very ids that the pod will see, as below
 * `podman unshare`, and no process of Podman stays behind. Its locks and its state of the moment are in memory and end with the command; jobs meet
 * in the locks of the storage only.
 *
 * @throws Unavailable when it cannot be executed; `signal.reason`.
 */
export async function runPodman(args: readonly string[], deps: PodmanCommandDeps): Promise<SandboxCommandResult> {
  const { storage, temporary, environment, sandbox, signal } = deps;
  const program = findProgram(deps.program, environment.PATH ?? '');
  if (program === undefined)
    throw new InterlinkError('NotFound', `${deps.program}: no such program; install podman or set runtime.program`, {
      code: 'command.missing',
    });
  // One place for all jobs, as the storage remembers it and refuses another.
  const state = join(storage, 'run');
  await makePrivateDirectory(storage);
  await mkdir(state, { recursive: true });
  const own = ['--root', storage, '--runroot', state, '--tmpdir', join(state, 'libpod'), '--storage-driver', 'overlay'];
  const options = ['--events-backend', 'none', '--cgroup-manager', 'cgroupfs', '--log-level', 'error'];
  const env = { ...environment, XDG_RUNTIME_DIR: state, TMPDIR: temporary, ...rootOf(sandbox) };
  return runInSandbox(sandbox, [program, ...own, ...options, ...args], env, {
    before: [
      { call: 'unshare', args: [LINUX.CLONE_NEWNS], what: 'make a mount namespace for podman' },
      memory(state, 'mode=700'),
      memory('/dev/shm', 'mode=1777'),
      procCall('/proc', '/proc'),
    ],
    ...(signal && { signal }),
  });
}

function memory(path: string, mode: string): SystemCall {
  const { MS_NODEV, MS_NOSUID } = LINUX;
  return { call: 'mount', args: ['tmpfs', path, 'tmpfs', MS_NOSUID | MS_NODEV, mode], what: `mount a tmpfs at ${path}` };
}

/** What `podman unshare` tells the programs below it; without that Podman takes itself for the root of the machine. */
function rootOf({ ids }: Sandbox): Readonly<Record<string, string>> {
  if (ids === undefined) return {};
  const { uid, gid } = currentUser();
  return {
    _CONTAINERS_USERNS_CONFIGURED: 'done',
    _CONTAINERS_ROOTLESS_UID: String(uid),
    _CONTAINERS_ROOTLESS_GID: String(gid),
  };
}
