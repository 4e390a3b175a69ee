import { randomBytes } from 'node:crypto';
import { dirname, join } from 'node:path';
import { bindLayerCalls, OVERLAY, overlayOptions } from './image-layers.ts';
import { LINUX } from './namespace-linux.ts';
import { procCall } from './namespace-proc.ts';
import type { SystemCall } from './namespace-program.ts';
import {
  makeDirectoryCalls,
  makeFileCall,
  type PreparedMount,
  READ_ONLY_ATTRIBUTE,
  volumeCalls,
} from './namespace-volumes.ts';

/** What the root of a container is made of. */
export interface ImageRoot {
  /** Directories in the sandbox that show the layers of the image, the topmost first. */
  readonly lowers: readonly string[];
  /** Directory in the sandbox that shows the image already with a layer for changes; no overlay is mounted then. */
  readonly merged?: string | undefined;
  /** The sandbox's directory. */
  readonly work: string;
  readonly mounts: readonly PreparedMount[];
  readonly readOnly: boolean;
  readonly privileged: boolean;
  /** Whether the container is in a user namespace; the kernel then keeps it from what has to be hidden from the worker's root. */
  readonly inUserNamespace: boolean;
  /** Device files and directories of the worker that the container gets besides the usual ones. */
  readonly devices: readonly string[];
  /** Directories that get a tmpfs, as the image's own cannot be written to. */
  readonly scratch: readonly string[];
}

const { AT_FDCWD, AT_RECURSIVE, AT_REMOVEDIR, MNT_DETACH } = LINUX;
const { MS_BIND, MS_NODEV, MS_NOEXEC, MS_NOSUID, MS_RDONLY, MS_REC, MS_REMOUNT } = LINUX;

const DEVICES = ['/dev/null', '/dev/zero', '/dev/full', '/dev/random', '/dev/urandom', '/dev/tty'];
const DEVICE_LINKS = [
  ['/proc/self/fd', '/dev/fd'],
  ['/proc/self/fd/0', '/dev/stdin'],
  ['/proc/self/fd/1', '/dev/stdout'],
  ['/proc/self/fd/2', '/dev/stderr'],
  ['pts/ptmx', '/dev/ptmx'],
] as const;

/** What runc keeps from a container of the worker's own root. */
const READ_ONLY_PROC = ['/proc/bus', '/proc/fs', '/proc/irq', '/proc/sys', '/proc/sysrq-trigger'];
const HIDDEN_FILES = ['/proc/kcore', '/proc/keys', '/proc/latency_stats', '/proc/timer_list', '/proc/sched_debug'];
const HIDDEN_DIRECTORIES = ['/proc/acpi', '/proc/scsi', '/sys/firmware'];

/**
 * System calls that make a container's root of an image: the image below, a tmpfs above that takes every change and goes with the container; proc, sys and dev as
 * a container runtime makes them; the volumes. Everything after the change of root is found inside of the image, wherever its links lead; the worker's root is
 * under a name that an image cannot guess until it is left.
 */
export function imageRootCalls(root: ImageRoot): readonly SystemCall[] {
  const box = join(root.work, 'box');
  const old = `/.old-${randomBytes(12).toString('hex')}`;
  const make = (name: string): SystemCall => ({
    call: 'mkdirat',
    args: [AT_FDCWD, name, 0o755],
    what: 'make the root',
  });
  return [
    { call: 'mount', args: ['tmpfs', box, 'tmpfs', 0, 'mode=755'], what: 'mount a tmpfs for changes to the image' },
    { call: 'chdir', args: [box], what: 'make the root' },
    ...['upper', 'work', 'root'].map(make),
    ...layerCalls(root),
    { call: 'mkdirat', args: [AT_FDCWD, `root${old}`, 0o700], what: 'make a directory for the old root' },
    { call: 'pivot_root', args: ['root', `root${old}`], what: 'change the root' },
    { call: 'chdir', args: ['/'], what: 'change the root' },
    ...['/proc', '/sys', '/dev'].flatMap((path) => makeDirectoryCalls(path, `make ${path}`)),
    procCall('/proc', `${old}/proc`),
    { call: 'mount', args: [`${old}/sys`, '/sys', 0, MS_BIND | MS_REC, 0], what: 'mount /sys' },
    ...deviceCalls(root, old),
    ...root.scratch.flatMap((path): readonly SystemCall[] => [
      ...makeDirectoryCalls(path, `mount ${path}`),
      { call: 'mount', args: ['tmpfs', path, 'tmpfs', MS_NOSUID | MS_NODEV, scratchMode(path)], what: `mount ${path}` },
    ]),
    ...volumeCalls(root.mounts, old, ({ directory, target }, what) =>
      directory
        ? makeDirectoryCalls(target, what)
        : [...makeDirectoryCalls(dirname(target), what), makeFileCall(target, what)],
    ),
    ...(root.privileged ? [] : hideCalls(root.inUserNamespace, old)),
    { call: 'umount2', args: [old, MNT_DETACH], what: 'leave the old root' },
    { call: 'unlinkat', args: [AT_FDCWD, old, AT_REMOVEDIR], what: 'leave the old root' },
    ...(root.readOnly
      ? ([
          { call: 'mount', args: [0, '/', 0, MS_REMOUNT | MS_BIND | MS_RDONLY, 0], what: 'make the root read-only' },
        ] as const)
      : []),
  ];
}

function layerCalls({ lowers, merged, inUserNamespace }: ImageRoot): readonly SystemCall[] {
  if (merged !== undefined) return [{ call: 'mount', args: [merged, 'root', 0, MS_BIND, 0], what: 'bind the image' }];
  const names = lowers.map((_, index) => `lower${index}`);
  const options = `${overlayOptions(names, inUserNamespace)},upperdir=upper,workdir=work`;
  return [
    // By relative names, as commas and colons in a path mean something to the overlay.
    ...bindLayerCalls(lowers, names),
    { call: 'mount', args: ['overlay', 'root', 'overlay', 0, options], what: OVERLAY },
  ];
}

function deviceCalls({ devices, work }: ImageRoot, old: string): readonly SystemCall[] {
  const link = ([to, at]: readonly [string, string]): SystemCall => ({
    call: 'symlinkat',
    args: [to, AT_FDCWD, at],
    what: `make ${at}`,
  });
  const bind = (path: string): readonly SystemCall[] => [
    makeFileCall(path, `make ${path}`),
    { call: 'mount', args: [`${old}${path}`, path, 0, MS_BIND, 0], what: `make ${path}` },
  ];
  const directory = (path: string): SystemCall => ({
    call: 'mkdirat',
    args: [AT_FDCWD, path, 0o755],
    what: `make ${path}`,
  });
  return [
    { call: 'mount', args: ['tmpfs', '/dev', 'tmpfs', MS_NOSUID, 'mode=755,size=65536k'], what: 'mount /dev' },
    ...DEVICES.flatMap(bind),
    ...devices.flatMap((path) => [...makeDirectoryCalls(dirname(path), `make ${path}`), ...bind(path)]),
    ...DEVICE_LINKS.map(link),
    directory('/dev/pts'),
    {
      call: 'mount',
      args: ['devpts', '/dev/pts', 'devpts', MS_NOSUID | MS_NOEXEC, 'newinstance,ptmxmode=0666,mode=0620'],
      what: 'mount /dev/pts',
    },
    directory('/dev/shm'),
    { call: 'mount', args: [`${old}${work}/shm`, '/dev/shm', 0, MS_BIND, 0], what: 'mount /dev/shm' },
    directory('/dev/mqueue'),
    {
      call: 'mount',
      args: ['mqueue', '/dev/mqueue', 'mqueue', MS_NOSUID | MS_NODEV | MS_NOEXEC, 0],
      tolerate: 'all', // kernels without POSIX message queues
      what: 'mount /dev/mqueue',
    },
  ];
}

function hideCalls(inUserNamespace: boolean, old: string): readonly SystemCall[] {
  const sys: SystemCall = {
    call: 'mount_setattr',
    args: [AT_FDCWD, '/sys', AT_RECURSIVE, READ_ONLY_ATTRIBUTE, READ_ONLY_ATTRIBUTE.length],
    // Before Linux 5.12 only its top can be set.
    otherwise: {
      call: 'mount',
      args: [0, '/sys', 0, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC, 0],
      tolerate: 'all',
      what: 'make /sys read-only',
    },
    what: 'make /sys read-only',
  };
  if (inUserNamespace) return [sys];
  const quiet = (args: SystemCall['args'], what: string): SystemCall => ({
    call: 'mount',
    args,
    tolerate: 'all',
    what,
  });
  return [
    sys,
    ...READ_ONLY_PROC.flatMap((path) => [
      quiet([path, path, 0, MS_BIND | MS_REC, 0], `protect ${path}`),
      quiet([0, path, 0, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC, 0], `protect ${path}`),
    ]),
    ...HIDDEN_FILES.map((path) => quiet([`${old}/dev/null`, path, 0, MS_BIND, 0], `hide ${path}`)),
    ...HIDDEN_DIRECTORIES.map((path) => quiet(['tmpfs', path, 'tmpfs', MS_RDONLY, 'size=0'], `hide ${path}`)),
  ];
}

function scratchMode(path: string): string {
  return /^(\/var)?\/tmp$/.test(path) ? 'mode=1777' : 'mode=755';
}
