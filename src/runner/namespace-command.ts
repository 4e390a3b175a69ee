import { LINUX } from './namespace-linux.ts';
import type { SystemCall } from './namespace-program.ts';
import type { ProgramFailure } from './namespace-spawn.ts';

/** What runs in a container; everything resolved. */
export interface Command {
  /** At least the program. */
  readonly argv: readonly string[];
  readonly env: ReadonlyMap<string, string>;
  readonly cwd: string;
}

const NOT_IN_PATH = 'executable file not found in $PATH';
/** Errors that let the search go on in the next directory. */
const SKIPPED = [LINUX.ENOENT, LINUX.ENOTDIR, LINUX.EACCES];

/**
 * System calls that put the command in the place of the process, in its working directory, which is made where it is missing. A name without slash is
 * looked up in the container's own PATH.
 */
export function commandCalls({ argv, env, cwd }: Command, identity: readonly SystemCall[]): readonly SystemCall[] {
  const { AT_FDCWD, FD_CLOEXEC, F_SETFD } = LINUX;
  const name = argv[0] ?? '';
  const vector = { strings: argv };
  const environment = { strings: [...env].map(([key, value]) => `${key}=${value}`) };
  const candidates =
    name.includes('/') || name === ''
      ? [name]
      : (env.get('PATH') ?? '').split(':').map((directory) => `${directory === '' ? '.' : directory}/${name}`);
  const directory = `working directory ${JSON.stringify(cwd)}`;
  const parents = cwd.split('/').map((_, index, parts) => parts.slice(0, index + 1).join('/'));
  return [
    { call: 'fcntl', args: [3, F_SETFD, FD_CLOEXEC], what: 'close the report' },
    ...parents
      .filter((path) => path !== '')
      .map(
        (path): SystemCall => ({
          call: 'mkdirat',
          args: [AT_FDCWD, path, 0o755],
          // Where it cannot be made, the change into it tells why.
          tolerate: 'all',
          what: directory,
        }),
      ),
    ...identity,
    { call: 'chdir', args: [cwd], what: directory },
    ...candidates.map(
      (path, index): SystemCall => ({
        call: 'execve',
        args: [path, vector, environment],
        what:
          candidates.length === 1 && path === name
            ? `exec: ${JSON.stringify(name)}`
            : `exec: ${JSON.stringify(name)}: ${NOT_IN_PATH}`,
        ...(index < candidates.length - 1 ? { tolerate: SKIPPED } : {}),
      }),
    ),
  ];
}

/** A failure in the words that a kubelet shows for it. */
export function describeFailure({ what, errno, reason }: ProgramFailure): string {
  if (what.endsWith(NOT_IN_PATH))
    return SKIPPED_NAMES.includes(errno) ? what : `${what.slice(0, -NOT_IN_PATH.length - 2)}: ${reason}`;
  return `${what}: ${reason}`;
}

const SKIPPED_NAMES = ['ENOENT', 'ENOTDIR', 'EACCES'];
