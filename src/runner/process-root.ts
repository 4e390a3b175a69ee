import { randomBytes } from 'node:crypto';
import { existsSync, lstatSync, readdirSync, readlinkSync, realpathSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { InterlinkError } from '../base/errors.ts';
import { LINUX } from './namespace-linux.ts';
import { procCall } from './namespace-proc.ts';
import type { SystemCall } from './namespace-program.ts';
import { makeDirectoryCalls, makeFileCall, type PreparedMount, volumeCalls } from './namespace-volumes.ts';

const { AT_FDCWD, AT_REMOVEDIR, MNT_DETACH, MS_BIND, MS_NODEV, MS_NOSUID, MS_RDONLY, MS_REC, MS_REMOUNT } = LINUX;

/**
 * System calls that make a root which shows the worker's own file system with the volumes in it. Nothing is made on the worker: a directory in which a
 * mount point is missing is covered by a tmpfs that holds the same entries.
 *
 * @param work The sandbox's directory.
 * @throws Invalid with code `StartError` for a mount path that cannot be had: below a file, in `/proc` or `/sys`.
 */
export function processRootCalls(mounts: readonly PreparedMount[], work: string): readonly SystemCall[] {
  const box = join(work, 'box');
  const old = `/.old-${randomBytes(12).toString('hex')}`;
  const targets = new Map<PreparedMount, string>();
  const covered = new Set(['/']);
  for (const mount of mounts) {
    const { path, above } = locate(mount, mounts);
    targets.set(mount, path);
    for (let p = above; p !== undefined && !covered.has(p); p = dirname(p)) covered.add(p);
  }
  const real = mounts.map((mount) => ({ ...mount, target: targets.get(mount) ?? mount.target }));
  return [
    ...coverCalls('/', box, covered),
    ...(isDirectory('/dev/shm')
      ? ([
          { call: 'mount', args: [join(work, 'shm'), `${box}/dev/shm`, 0, MS_BIND, 0], what: 'mount /dev/shm' },
        ] as const)
      : []),
    { call: 'mkdirat', args: [AT_FDCWD, `${box}${old}`, 0o700], what: 'make a directory for the old root' },
    { call: 'pivot_root', args: [box, `${box}${old}`], what: 'change the root' },
    { call: 'chdir', args: ['/'], what: 'change the root' },
    ...volumeCalls(real, old, (mount, what) => (existsOnWorker(mount.target, mounts) ? [] : makeCalls(mount, what))),
    { call: 'umount2', args: [old, MNT_DETACH], what: 'leave the old root' },
    { call: 'unlinkat', args: [AT_FDCWD, old, AT_REMOVEDIR], what: 'leave the old root' },
    {
      call: 'mount',
      args: [0, '/', 0, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV, 0],
      what: 'make the root read-only',
    },
  ];
}

function makeCalls({ directory, target }: PreparedMount, what: string): readonly SystemCall[] {
  return directory
    ? makeDirectoryCalls(target, what)
    : [...makeDirectoryCalls(dirname(target), what), makeFileCall(target, what)];
}

/** Where a target really is, and the deepest existing directory above it in which a mount point has to be made. */
function locate(mount: PreparedMount, all: readonly PreparedMount[]): { path: string; above?: string } {
  const { target } = mount;
  const refuse = (why: string): InterlinkError =>
    new InterlinkError('Invalid', `mount path ${target}: ${why}`, { code: 'StartError' });
  if (/^\/(proc|sys)(\/|$)/.test(target)) throw refuse('nothing can be mounted in /proc or /sys of the worker');
  // Inside of another volume its content decides, and missing directories are made there, as every container runtime does.
  if (all.some((other) => target.startsWith(`${other.target}/`))) return { path: target };
  if (existsSync(target)) return { path: realpathSync(target) };
  let above = dirname(target);
  while (!existsSync(above)) above = dirname(above);
  const real = realpathSync(above);
  if (!isDirectory(real)) throw refuse(`${above} is a file`);
  return { path: join(real, target.slice(above === '/' ? 0 : above.length)), above: real };
}

function existsOnWorker(target: string, all: readonly PreparedMount[]): boolean {
  return existsSync(target) && !all.some((other) => target.startsWith(`${other.target}/`));
}

/** A tmpfs over `directory` of the new root that shows the same entries. */
function coverCalls(directory: string, box: string, covered: ReadonlySet<string>): readonly SystemCall[] {
  const at = directory === '/' ? box : `${box}${directory}`;
  const what = `show ${directory} of the worker`;
  const calls: SystemCall[] = [{ call: 'mount', args: ['tmpfs', at, 'tmpfs', MS_NOSUID | MS_NODEV, 'mode=755'], what }];
  for (const entry of readdirSync(directory, { withFileTypes: true })) {
    const path = join(directory, entry.name);
    const to = `${box}${path}`;
    if (entry.isSymbolicLink()) {
      calls.push({ call: 'symlinkat', args: [readlinkSync(path), AT_FDCWD, to], what });
      continue;
    }
    if (!entry.isDirectory()) {
      calls.push(makeFileCall(to, what), {
        call: 'mount',
        args: [path, to, 0, MS_BIND, 0],
        what: `show ${path} of the worker`,
      });
      continue;
    }
    calls.push({ call: 'mkdirat', args: [AT_FDCWD, to, 0o755], what });
    if (path === '/proc') calls.push(procCall(to, '/proc'));
    else if (covered.has(path)) calls.push(...coverCalls(path, box, covered));
    else calls.push({ call: 'mount', args: [path, to, 0, MS_BIND | MS_REC, 0], what: `show ${path} of the worker` });
  }
  return calls;
}

function isDirectory(path: string): boolean {
  return existsSync(path) && !lstatSync(path).isSymbolicLink() && statSync(path).isDirectory();
}
