import { LINUX } from './namespace-linux.ts';
import type { SystemCall } from './namespace-program.ts';

/** Numbers on x86-64 and arm64 of what the profile refuses with EPERM; -1 where a processor has no such call. */
const REFUSED: Readonly<Record<string, readonly [x64: number, arm64: number]>> = {
  acct: [163, 89],
  add_key: [248, 217],
  bpf: [321, 280],
  clock_adjtime: [305, 266],
  clock_settime: [227, 112],
  delete_module: [176, 106],
  finit_module: [313, 273],
  fsconfig: [431, 431],
  fsmount: [432, 432],
  fsopen: [430, 430],
  fspick: [433, 433],
  init_module: [175, 105],
  ioperm: [173, -1],
  iopl: [172, -1],
  kexec_file_load: [320, 294],
  kexec_load: [246, 104],
  keyctl: [250, 219],
  lookup_dcookie: [212, 18],
  mount: [165, 40],
  mount_setattr: [442, 442],
  move_mount: [429, 429],
  name_to_handle_at: [303, 264],
  open_by_handle_at: [304, 265],
  open_tree: [428, 428],
  perf_event_open: [298, 241],
  pivot_root: [155, 41],
  quotactl: [179, 60],
  reboot: [169, 142],
  request_key: [249, 218],
  setns: [308, 268],
  settimeofday: [164, 170],
  swapoff: [168, 225],
  swapon: [167, 224],
  umount2: [166, 39],
  unshare: [272, 97],
  userfaultfd: [323, 282],
  vhangup: [153, 58],
};

const CLONE = [56, 220] as const;
const CLONE3 = [435, 435] as const;
const AUDIT_ARCH = [0xc000_003e, 0xc000_00b7] as const;
/** CLONE_NEWNS … CLONE_NEWNET: every flag of clone that makes a namespace. */
const NAMESPACE_FLAGS = 0x7e02_0000;
/** Marks the x32 interface, whose numbers would pass by the table. */
const X32 = 0x4000_0000;

const LOAD = 0x20;
const JUMP_EQUAL = 0x15;
const JUMP_GREATER_EQUAL = 0x35;
const JUMP_ANY_BIT = 0x45;
const RETURN = 0x06;
const ALLOW = 0x7fff_0000;
const KILL = 0x8000_0000;
const refuseWith = (errno: number): number => 0x0005_0000 | errno;
const ENOSYS = 38;

/**
 * The system call that puts on the seccomp profile `RuntimeDefault`: what can harm the machine or make new namespaces is refused, everything else is
 * allowed. It needs CAP_SYS_ADMIN in the user namespace or no_new_privs.
 *
 * @see https://docs.docker.com/engine/security/seccomp/ (the calls that Docker's profile blocks)
 */
export function seccompCall(architecture: string): SystemCall {
  const column = architecture === 'arm64' ? 1 : 0;
  const numbers = Object.values(REFUSED)
    .map((pair) => pair[column])
    .filter((number) => number >= 0);
  const filter = [
    instruction(LOAD, 0, 0, 4), // arch
    instruction(JUMP_EQUAL, 1, 0, AUDIT_ARCH[column]),
    instruction(RETURN, 0, 0, KILL),
    instruction(LOAD, 0, 0, 0), // nr
    ...(column === 0
      ? [instruction(JUMP_GREATER_EQUAL, 0, 1, X32), instruction(RETURN, 0, 0, refuseWith(ENOSYS))]
      : []),
    ...numbers.flatMap((number) => [
      instruction(JUMP_EQUAL, 0, 1, number),
      instruction(RETURN, 0, 0, refuseWith(LINUX.EPERM)),
    ]),
    // The flags of clone3 are in memory, out of reach: a library that gets ENOSYS falls back to clone.
    instruction(JUMP_EQUAL, 0, 1, CLONE3[column]),
    instruction(RETURN, 0, 0, refuseWith(ENOSYS)),
    instruction(JUMP_EQUAL, 0, 3, CLONE[column]),
    instruction(LOAD, 0, 0, 16), // low half of the first argument
    instruction(JUMP_ANY_BIT, 0, 1, NAMESPACE_FLAGS),
    instruction(RETURN, 0, 0, refuseWith(LINUX.EPERM)),
    instruction(RETURN, 0, 0, ALLOW),
  ];
  return {
    call: 'seccomp',
    args: [LINUX.SECCOMP_SET_MODE_FILTER, 0, { words: [filter.length, Buffer.concat(filter)] }],
    what: 'put on the seccomp profile RuntimeDefault',
  };
}

function instruction(code: number, ifTrue: number, ifFalse: number, value: number): Buffer {
  const buffer = Buffer.alloc(8);
  buffer.writeUInt16LE(code, 0);
  buffer.writeUInt8(ifTrue, 2);
  buffer.writeUInt8(ifFalse, 3);
  buffer.writeUInt32LE(value >>> 0, 4);
  return buffer;
}
