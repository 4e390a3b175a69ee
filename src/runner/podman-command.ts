import { basename, dirname, join } from 'node:path';
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
  /** File of `docker login` that Podman may show to registries. */
  readonly login?: string;
  readonly environment: Readonly<Record<string, string>>;
  readonly sandbox: Sandbox;
  readonly signal?: AbortSignal;
}

/** Podman's locks are here whatever it is told. What else it wants in memory has the same path in every job, as the storage remembers it and refuses another. */
const MEMORY = '/dev/shm';

/**
 * Runs `podman` on a storage of our own, as the root of the pod's sandbox: the files of an image so get the very ids that the pod will see, as below
 * `podman unshare`, and no process of Podman stays behind. Its locks and its state of the moment are in memory and end with the command; jobs meet
 * in the locks of the storage only.
 *
 * @throws Unavailable when it cannot be executed; `signal.reason`.
 */
export async function runPodman(args: readonly string[], deps: PodmanCommandDeps): Promise<SandboxCommandResult> {
  const { storage, temporary, environment, sandbox, signal } = deps;
  if (storage.startsWith(`${MEMORY}/`))
    throw new InterlinkError(
      'Unsupported',
      `runtime "podman" cannot keep images in ${MEMORY}; set runtime.imageCache`,
      {
        code: 'ErrImagePull',
      },
    );
  const program = findProgram(deps.program, environment.PATH ?? '');
  if (program === undefined)
    throw new InterlinkError('NotFound', `${deps.program}: no such program; install podman or set runtime.program`, {
      code: 'command.missing',
    });
  await makePrivateDirectory(storage);
  const own = [
    ...['--root', storage, '--runroot', `${MEMORY}/run`, '--tmpdir', `${MEMORY}/tmp`],
    ...[
      '--storage-driver',
      'overlay',
      '--events-backend',
      'none',
      '--cgroup-manager',
      'cgroupfs',
      '--log-level',
      'error',
    ],
    // Where the pod has its root alone, every file is that one's.
    ...(sandbox.ids?.canSetGroups === false ? ['--storage-opt', 'overlay.ignore_chown_errors=true'] : []),
  ];
  const login =
    deps.login === undefined ? undefined : { from: dirname(deps.login), to: join(sandbox.work, 'podman-login') };
  const env = {
    ...environment,
    XDG_RUNTIME_DIR: MEMORY,
    TMPDIR: temporary,
    ...rootOf(sandbox),
    ...(login && { REGISTRY_AUTH_FILE: join(login.to, basename(deps.login ?? '')) }),
  };
  return runInSandbox(sandbox, [program, ...own, ...args], env, {
    before: [
      { call: 'unshare', args: [LINUX.CLONE_NEWNS], what: 'make a mount namespace for podman' },
      ...(login ? keepCalls(login) : []),
      {
        call: 'mount',
        args: ['tmpfs', MEMORY, 'tmpfs', LINUX.MS_NOSUID | LINUX.MS_NODEV, 'mode=1777'],
        what: `mount a tmpfs at ${MEMORY}`,
      },
      procCall('/proc', '/proc'),
    ],
    ...(signal && { signal }),
  });
}

/** The login lies in what is about to be covered. */
function keepCalls({ from, to }: { readonly from: string; readonly to: string }): readonly SystemCall[] {
  const { AT_FDCWD, EEXIST, MS_BIND } = LINUX;
  return [
    { call: 'mkdirat', args: [AT_FDCWD, to, 0o700], tolerate: [EEXIST], what: `make ${to}` },
    { call: 'mount', args: [from, to, 0, MS_BIND, 0], what: 'show the login to podman' },
  ];
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
