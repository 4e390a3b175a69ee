import { readFileSync, realpathSync, statSync } from 'node:fs';
import { dirname, normalize } from 'node:path';
import { InterlinkError, messageOf } from '../base/errors.ts';
import type { Mount } from './container-runtime.ts';
import { isKernelSince } from './kernel-version.ts';
import { LINUX } from './namespace-linux.ts';
import type { SystemCall } from './namespace-program.ts';

/** A mount whose source has been looked at. */
export interface PreparedMount {
  /** Without symbolic links: an absolute link would lead elsewhere once the root has changed. */
  readonly source: string;
  readonly target: string;
  readonly directory: boolean;
  readonly readOnly: boolean;
  /** No symbolic link on the way to the source is followed. */
  readonly exact: boolean;
  /** Together with everything that is mounted in it on the worker. */
  readonly recursiveReadOnly: boolean;
  /** What is mounted in it on the worker later does not show. */
  readonly sealed: boolean;
  /** nosuid, nodev and noexec of the file system that holds the source: the kernel insists that a remount repeats them. */
  readonly flags: number;
}

/** `struct mount_attr` that sets the read-only attribute. */
export const READ_ONLY_ATTRIBUTE = Buffer.concat([Buffer.from([LINUX.MOUNT_ATTR_RDONLY]), Buffer.alloc(31)]);

/**
 * Looks at the sources; parents come before what is mounted in them.
 * @throws NotFound with code `StartError` when a source cannot be reached, Invalid with `StartError` for a target that is no absolute path.
 */
export function prepareMounts(mounts: readonly Mount[], mountInfo = '/proc/self/mountinfo'): readonly PreparedMount[] {
  const points = mountPoints(mountInfo);
  return mounts
    .map(({ source, target, readOnly, exact = false, recursiveReadOnly = false, sealed = false }) => {
      if (!target.startsWith('/') || normalize(target) === '/')
        throw new InterlinkError('Invalid', `mount path ${JSON.stringify(target)}: not an absolute path below /`, {
          code: 'StartError',
        });
      try {
        const real = realpathSync(source);
        if (exact && real !== source) throw new Error(`${source} has been replaced by a symbolic link`);
        return {
          source: real,
          target: normalize(target).replace(/\/$/, ''),
          directory: statSync(real).isDirectory(),
          readOnly,
          exact,
          recursiveReadOnly,
          sealed,
          flags: flagsOf(real, points),
        };
      } catch (error) {
        throw new InterlinkError(
          'NotFound',
          `mount path ${target}: its source cannot be reached: ${messageOf(error)}`,
          {
            code: 'StartError',
            cause: error,
          },
        );
      }
    })
    .toSorted((a, b) => (a.target < b.target ? -1 : 1));
}

/** System calls that make the directory `path` and its parents where they are missing. */
export function makeDirectoryCalls(path: string, what: string): readonly SystemCall[] {
  const calls: SystemCall[] = [];
  for (let p = path; p !== '/'; p = dirname(p))
    calls.unshift({ call: 'mkdirat', args: [LINUX.AT_FDCWD, p, 0o755], tolerate: [LINUX.EEXIST], what });
  return calls;
}

/** The system call that makes an empty file where there is none. */
export function makeFileCall(path: string, what: string): SystemCall {
  const { AT_FDCWD, S_IFREG, EEXIST } = LINUX;
  return { call: 'mknodat', args: [AT_FDCWD, path, S_IFREG | 0o644, 0], tolerate: [EEXIST], what };
}

/**
 * System calls that bind the mounts, after the change of root.
 * @param old Where the worker's root is found.
 * @param opensExactly Whether the kernel can refuse symbolic links; without that a container could put one into the path of another's volume just in time.
 * @param make What has to be made for a target: all of its path, or less where the root is the worker's own.
 */
export function volumeCalls(
  mounts: readonly PreparedMount[],
  old: string,
  make: (mount: PreparedMount, what: string) => readonly SystemCall[],
  opensExactly = isKernelSince(5, 6), // openat2(2)
): readonly SystemCall[] {
  const { MS_BIND, MS_PRIVATE, MS_REC } = LINUX;
  const what = ({ target }: PreparedMount): string => `mount path ${target}`;
  const holdsOthers = ({ target }: PreparedMount): boolean => mounts.some((one) => one.target.startsWith(`${target}/`));
  return [
    ...mounts.flatMap((mount, index): readonly SystemCall[] => [
      ...make(mount, what(mount)),
      ...(mount.exact && opensExactly
        ? exactCalls(`${old}${mount.source}`, mount.target, `source-${index}`, what(mount))
        : [
            {
              call: 'mount',
              args: [`${old}${mount.source}`, mount.target, 0, MS_BIND | MS_REC, 0],
              what: what(mount),
            } as const,
          ]),
      ...(mount.sealed
        ? ([{ call: 'mount', args: [0, mount.target, 0, MS_REC | MS_PRIVATE, 0], what: what(mount) }] as const)
        : []),
      ...(isReadOnlyAtOnce(mount) ? [readOnlyCall(mount, true)] : []),
    ]),
    // Only now, as a mount point may have to be made inside of another volume.
    ...mounts
      .filter((mount) => mount.readOnly && !isReadOnlyAtOnce(mount))
      .map((mount) => readOnlyCall(mount, !holdsOthers(mount))),
  ];
}

/** Nothing can be made in it any more then, not even a mount point for another volume. */
function isReadOnlyAtOnce({ sealed, recursiveReadOnly }: PreparedMount): boolean {
  return sealed || recursiveReadOnly;
}

/** A recursive bind mount whose source is opened without following any symbolic link. */
function exactCalls(source: string, target: string, slot: string, what: string): readonly SystemCall[] {
  const { AT_EMPTY_PATH, AT_FDCWD, AT_RECURSIVE, MOVE_MOUNT_F_EMPTY_PATH, O_CLOEXEC, O_PATH, OPEN_TREE_CLONE } = LINUX;
  // struct open_how: flags, mode, resolve
  const how = Buffer.alloc(24);
  how.writeBigUInt64LE(BigInt(O_PATH | O_CLOEXEC), 0);
  how.writeBigUInt64LE(BigInt(LINUX.RESOLVE_NO_SYMLINKS), 16);
  const tree = `${slot}-tree`;
  const clone = OPEN_TREE_CLONE | AT_EMPTY_PATH | AT_RECURSIVE | O_CLOEXEC;
  return [
    { call: 'openat2', args: [AT_FDCWD, source, how, how.length], save: slot, what },
    { call: 'open_tree', args: [{ slot }, '', clone], save: tree, what },
    { call: 'move_mount', args: [{ slot: tree }, '', AT_FDCWD, target, MOVE_MOUNT_F_EMPTY_PATH], what },
  ];
}

/** With what is mounted below it, if that is wanted; before Linux 5.12 that stays as it is. */
function readOnlyCall({ target, flags }: PreparedMount, withAllBelow: boolean): SystemCall {
  const { MS_BIND, MS_REMOUNT, MS_RDONLY, AT_FDCWD, AT_RECURSIVE } = LINUX;
  const what = `mount path ${target}: make it read-only`;
  const top: SystemCall = { call: 'mount', args: [0, target, 0, MS_REMOUNT | MS_BIND | MS_RDONLY | flags, 0], what };
  if (!withAllBelow) return top;
  const args = [AT_FDCWD, target, AT_RECURSIVE, READ_ONLY_ATTRIBUTE, READ_ONLY_ATTRIBUTE.length];
  return { call: 'mount_setattr', args, otherwise: top, what };
}

/** nosuid, nodev and noexec of the file system that holds `path`, as the kernel's flags of mount(2). */
export function mountFlags(path: string): number {
  return flagsOf(realpathSync(path), mountPoints('/proc/self/mountinfo'));
}

type MountPoint = readonly [path: string, flags: number];

function mountPoints(file: string): readonly MountPoint[] {
  return readFileSync(file, 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => {
      const [, , , , path = '/', options = ''] = line.split(' ');
      const names = options.split(',');
      const flag = (name: string, value: number): number => (names.includes(name) ? value : 0);
      const flags = flag('nosuid', LINUX.MS_NOSUID) | flag('nodev', LINUX.MS_NODEV) | flag('noexec', LINUX.MS_NOEXEC);
      return [path.replace(/\\([0-7]{3})/g, (_, code: string) => String.fromCharCode(Number.parseInt(code, 8))), flags];
    });
}

/** The longest mount point wins, and of several on one path the last, which covers the others. */
function flagsOf(path: string, points: readonly MountPoint[]): number {
  let best: MountPoint = ['', 0];
  for (const point of points) {
    const [at] = point;
    if (at.length >= best[0].length && (at === '/' || path === at || path.startsWith(`${at}/`))) best = point;
  }
  return best[1];
}
