import { LINUX } from './namespace-linux.ts';
import type { SystemCall } from './namespace-program.ts';
import { seccompCall } from './namespace-seccomp.ts';

/** Who the container's first process is and what it may never do; ids as the pod sees them. */
export interface Identity {
  readonly uid: number;
  readonly gid: number;
  /** Supplementary groups; undefined keeps those of the worker's user. */
  readonly groups: readonly number[] | undefined;
  /** Capabilities taken out of the bounding set. */
  readonly dropped: readonly number[];
  readonly noNewPrivileges: boolean;
  readonly seccomp: boolean;
  /** Whether the one user that the pod has, its root, goes by these ids in a user namespace of the container's own. */
  readonly renamed?: boolean;
}

/** System calls that turn a process with every capability of its user namespace into the container's user; `execve` comes next. */
export function identityCalls(identity: Identity, architecture: string): readonly SystemCall[] {
  const { uid, gid, groups, dropped, noNewPrivileges, seccomp } = identity;
  const { PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS, PR_SET_PDEATHSIG, SIGKILL, EINVAL } = LINUX;
  return [
    // A process may open its own standard output by name only if it owns it.
    ...[0, 1, 2].map(
      (fd): SystemCall => ({ call: 'fchown', args: [fd, uid, gid], tolerate: 'all', what: 'own the output' }),
    ),
    ...(identity.renamed ? renameCalls(uid, gid) : []),
    ...dropped.map(
      (number): SystemCall => ({
        call: 'prctl',
        args: [PR_CAPBSET_DROP, number, 0, 0, 0],
        tolerate: [EINVAL], // older than the capability
        what: `drop capability ${number}`,
      }),
    ),
    ...(noNewPrivileges
      ? ([{ call: 'prctl', args: [PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0], what: 'forbid new privileges' }] as const)
      : []),
    ...(seccomp ? [seccompCall(architecture)] : []),
    ...(groups
      ? ([
          { call: 'setgroups', args: [groups.length, uint32(groups)], what: `take the groups ${groups.join(',')}` },
        ] as const)
      : []),
    { call: 'setresgid', args: [gid, gid, gid], what: `become group ${gid}` },
    { call: 'setresuid', args: [uid, uid, uid], what: `become user ${uid}` },
    { call: 'prctl', args: [PR_SET_PDEATHSIG, SIGKILL], what: 'die with the parent' },
  ];
}

function renameCalls(uid: number, gid: number): readonly SystemCall[] {
  const write = (file: string, text: string): readonly SystemCall[] => [
    {
      call: 'openat',
      args: [LINUX.AT_FDCWD, `/proc/self/${file}`, LINUX.O_WRONLY | LINUX.O_CLOEXEC, 0],
      save: file,
      what: `open ${file}`,
    },
    { call: 'write', args: [{ slot: file }, text, text.length], what: `write ${file}` },
  ];
  return [
    { call: 'unshare', args: [LINUX.CLONE_NEWUSER], what: 'make a user namespace for the container' },
    ...write('setgroups', 'deny'),
    ...write('gid_map', `${gid} 0 1`),
    ...write('uid_map', `${uid} 0 1`),
  ];
}

function uint32(numbers: readonly number[]): Buffer {
  const buffer = Buffer.alloc(numbers.length * 4);
  numbers.forEach((number, index) => {
    buffer.writeUInt32LE(number, index * 4);
  });
  return buffer;
}
