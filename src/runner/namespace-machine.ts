import { InterlinkError } from '../base/errors.ts';

/** An argument of a system call as the machine sees it: a number, or the 64-bit number at an address. */
export interface MachineOperand {
  readonly value: bigint;
  readonly indirect: boolean;
}

/** The system calls that a {@link Machine} knows. */
export type SystemCallName = keyof typeof NUMBERS;

/** What differs between processors: a handful of instructions, each given as bytes. Jumps count bytes from their own end. */
export interface Machine {
  /** `e_machine` of the ELF header. */
  readonly elfMachine: number;
  number(name: SystemCallName): number;
  /** Loads the arguments and enters the kernel; the result stays in a register that the following instructions look at. */
  invoke(number: number, operands: readonly MachineOperand[]): Buffer;
  skipOnSuccess(bytes: number): Buffer;
  skipOnErrno(errno: number, bytes: number): Buffer;
  skipOnZero(bytes: number): Buffer;
  jump(bytes: number): Buffer;
  store(address: bigint): Buffer;
  /** Writes `step` and the negative errno, four bytes each, to `reportAddress` and to file descriptor 3, then ends with 255. */
  fail(step: number, reportAddress: bigint): Buffer;
}

/** Numbers on x86-64 and arm64 (the generic table of asm-generic/unistd.h). */
const NUMBERS = {
  read: [0, 63],
  write: [1, 64],
  close: [3, 57],
  ioctl: [16, 29],
  rt_sigaction: [13, 134],
  clone: [56, 220],
  execve: [59, 221],
  wait4: [61, 260],
  fcntl: [72, 25],
  chdir: [80, 49],
  fchdir: [81, 50],
  fchmod: [91, 52],
  fchown: [93, 55],
  umask: [95, 166],
  setsid: [112, 157],
  setgroups: [116, 159],
  setresuid: [117, 147],
  setresgid: [119, 149],
  pivot_root: [155, 41],
  prctl: [157, 167],
  mount: [165, 40],
  umount2: [166, 39],
  sethostname: [170, 161],
  exit_group: [231, 94],
  openat: [257, 56],
  mkdirat: [258, 34],
  mknodat: [259, 33],
  fchownat: [260, 54],
  unlinkat: [263, 35],
  symlinkat: [266, 36],
  fchmodat: [268, 53],
  ppoll: [271, 73],
  unshare: [272, 97],
  setns: [308, 268],
  seccomp: [317, 277],
  open_tree: [428, 428],
  move_mount: [429, 429],
  close_range: [436, 436],
  openat2: [437, 437],
  mount_setattr: [442, 442],
} as const satisfies Record<string, readonly [x64: number, arm64: number]>;

const WORD = 0xffff_ffffn;

/** A byte, or some in a row. Plain arrays, as a buffer for each number would take most of the time of a container's start. */
type Code = number | readonly number[] | Uint8Array;

function bytes(...parts: readonly Code[]): Buffer {
  let size = 0;
  for (const part of parts) size += typeof part === 'number' ? 1 : part.length;
  const code = Buffer.allocUnsafe(size);
  let end = 0;
  for (const part of parts) {
    if (typeof part === 'number') {
      code[end] = part;
      end += 1;
    } else {
      code.set(part, end);
      end += part.length;
    }
  }
  return code;
}

function int32(value: number): readonly number[] {
  return [value & 0xff, (value >> 8) & 0xff, (value >> 16) & 0xff, (value >> 24) & 0xff];
}

function int64(value: bigint): readonly number[] {
  const low = Number(value & WORD);
  const high = Number((value >> 32n) & WORD);
  return [...int32(low), ...int32(high)];
}

/** rdi, rsi, rdx, r10, r8, r9: `mov reg, imm64` and `mov reg, [reg]`. */
const X64_ARGUMENTS: readonly { readonly load: readonly number[]; readonly follow: readonly number[] }[] = [
  { load: [0x48, 0xbf], follow: [0x48, 0x8b, 0x3f] },
  { load: [0x48, 0xbe], follow: [0x48, 0x8b, 0x36] },
  { load: [0x48, 0xba], follow: [0x48, 0x8b, 0x12] },
  { load: [0x49, 0xba], follow: [0x4d, 0x8b, 0x12] },
  { load: [0x49, 0xb8], follow: [0x4d, 0x8b, 0x00] },
  { load: [0x49, 0xb9], follow: [0x4d, 0x8b, 0x09] },
];

const X64_SYSCALL = [0x0f, 0x05];
const TEST_RAX = [0x48, 0x85, 0xc0];

const x64: Machine = {
  elfMachine: 62,
  number: (name) => NUMBERS[name][0],
  invoke: (number, operands) =>
    bytes(
      ...operands.flatMap(({ value, indirect }, index) => {
        const { load, follow } = at(X64_ARGUMENTS, index);
        return [...load, int64(value), ...(indirect ? follow : [])];
      }),
      0xb8, // mov eax, number
      int32(number),
      X64_SYSCALL,
    ),
  skipOnSuccess: (count) => bytes(TEST_RAX, 0x0f, 0x89, int32(count)), // jns
  skipOnErrno: (errno, count) => bytes(0x3d, int32(-errno), 0x0f, 0x84, int32(count)), // cmp eax, -errno; je
  skipOnZero: (count) => bytes(TEST_RAX, 0x0f, 0x84, int32(count)), // je
  jump: (count) => bytes(0xe9, int32(count)),
  store: (address) => bytes(0x48, 0xa3, int64(address)), // mov [address], rax
  fail: (step, reportAddress) =>
    bytes(
      ...[0x48, 0xbe, int64(reportAddress)], // mov rsi, report
      ...[0xc7, 0x06, int32(step)], // mov dword [rsi], step
      ...[0x89, 0x46, 0x04], // mov [rsi+4], eax
      ...[0xbf, int32(3), 0xba, int32(8), 0xb8, int32(1), X64_SYSCALL], // write(3, report, 8)
      ...[0xbf, int32(255), 0xb8, int32(231), X64_SYSCALL], // exit_group(255)
    ),
};

function arm64Load(register: number, value: bigint): Buffer {
  const parts = [0n, 1n, 2n, 3n].map((part) => {
    const chunk = Number((BigInt.asUintN(64, value) >> (part * 16n)) & 0xffffn);
    return int32((part === 0n ? 0xd2800000 : 0xf2800000) | (Number(part) << 21) | (chunk << 5) | register); // movz, movk
  });
  return bytes(...parts);
}

const SVC = int32(0xd4000001);

const arm64: Machine = {
  elfMachine: 183,
  number: (name) => NUMBERS[name][1],
  invoke: (number, operands) =>
    bytes(
      ...operands.flatMap(({ value, indirect }, index) => [
        arm64Load(index, value),
        ...(indirect ? [int32(0xf9400000 | (index << 5) | index)] : []), // ldr xN, [xN]
      ]),
      arm64Load(8, BigInt(number)),
      SVC,
    ),
  skipOnSuccess: (count) => bytes(int32(0xb6f80000 | ((count / 4 + 1) << 5))), // tbz x0, #63
  skipOnErrno: (errno, count) => bytes(int32(0xb100001f | (errno << 10)), int32(0x54000000 | ((count / 4 + 1) << 5))), // cmn x0, #errno; b.eq
  skipOnZero: (count) => bytes(int32(0xb4000000 | ((count / 4 + 1) << 5))), // cbz x0
  jump: (count) => bytes(int32(0x14000000 | ((count / 4 + 1) & 0x3ffffff))), // b
  store: (address) => bytes(arm64Load(9, address), int32(0xf9000120)), // str x0, [x9]
  fail: (step, reportAddress) =>
    bytes(
      arm64Load(9, reportAddress),
      arm64Load(10, BigInt(step) & WORD),
      int32(0xb900012a), // str w10, [x9]
      int32(0xb9000520), // str w0, [x9, #4]
      arm64Load(0, 3n),
      arm64Load(1, reportAddress),
      arm64Load(2, 8n),
      arm64Load(8, 64n),
      SVC, // write(3, report, 8)
      arm64Load(0, 255n),
      arm64Load(8, 94n),
      SVC, // exit_group(255)
    ),
};

function at<T>(items: readonly T[], index: number): T {
  const item = items[index];
  if (item === undefined) throw new InterlinkError('Internal', `a system call has at most ${items.length} arguments`);
  return item;
}

/**
 * The instructions of this processor.
 * @param architecture `process.arch`.
 * @throws Unsupported for a processor other than x86-64 and arm64.
 * @see https://github.com/torvalds/linux/blob/master/arch/x86/entry/syscalls/syscall_64.tbl
 * @see https://github.com/torvalds/linux/blob/master/include/uapi/asm-generic/unistd.h
 */
export function machineOf(architecture: string): Machine {
  if (architecture === 'x64') return x64;
  if (architecture === 'arm64') return arm64;
  throw new InterlinkError(
    'Unsupported',
    `containers cannot be started on the processor ${architecture}; use a worker with x86-64 or arm64`,
    { code: 'runtime.architecture' },
  );
}
