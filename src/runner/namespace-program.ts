import { InterlinkError } from '../base/errors.ts';
import type { Machine, MachineOperand, SystemCallName } from './namespace-machine.ts';

/**
 * An argument of a system call: a number; the address of a NUL-terminated string, of bytes, of a NULL-ended array of strings or of a structure of
 * 64-bit words; the value or the address of a slot (eight bytes of memory that `save` fills). An object that is used twice is stored once.
 */
export type Operand =
  | number
  | bigint
  | string
  | Uint8Array
  | { readonly strings: readonly string[] }
  | { readonly words: readonly Operand[] }
  | { readonly slot: string }
  | { readonly addressOf: string };

/** One system call and what becomes of its result. */
export interface SystemCall {
  readonly call: SystemCallName;
  readonly args: readonly Operand[];
  /** What it is for, in words for a message: `mount /etc/config`. */
  readonly what: string;
  /** Slot that takes the result. Not together with `tolerate` and `otherwise`. */
  readonly save?: string;
  /** Errors that make no difference; all of them or these numbers. */
  readonly tolerate?: 'all' | readonly number[];
  /** Is done instead when the call fails. */
  readonly otherwise?: SystemCall;
  /** The call is made again and again; nothing after it is reached. */
  readonly forever?: boolean;
}

/** System calls in order; with `fork` the process then splits into two that go on by themselves. */
export interface Program {
  readonly calls: readonly SystemCall[];
  readonly fork?: {
    /** Slot of the child's pid as the parent sees it. */
    readonly save: string;
    readonly parent: readonly SystemCall[];
    readonly child: Program;
  };
}

/** A program that is ready to be executed. */
export interface BuiltProgram {
  /** A static ELF executable. */
  readonly image: Buffer;
  /** `what` of each call, by the number that a failure reports. */
  readonly steps: readonly string[];
}

const DATA_BASE = 0x2000_0000n;
const CODE_BASE = 0x4000_0000n;
const ELF_HEADER = 64;
const PROGRAM_HEADER = 56;
const SIGCHLD = 17n;

/**
 * Turns a list of system calls into a static executable that does just these, in order, and stops at the first one that fails: it then writes
 * the number of the step and the negative errno (two little-endian 32-bit numbers) to file descriptor 3 and exits with 255.
 *
 * The kernel's calls for namespaces are out of reach for Node, and no tool of the host can run inside an image of unknown content; such a
 * program needs neither an interpreter nor a library and is never more than the list that went in.
 *
 * @throws Invalid when a string holds a NUL.
 */
export function buildProgram(program: Program, machine: Machine): BuiltProgram {
  const data = new DataSegment();
  const steps: string[] = [];
  const report = data.reserve(8);
  const compile = (calls: readonly SystemCall[]): Buffer =>
    Buffer.concat(calls.map((call) => compileCall(call, machine, data, steps, report)));

  const compileAll = ({ calls, fork }: Program): Buffer => {
    if (!fork) return compile([...calls, EXIT]);
    const clone: SystemCall = { call: 'clone', args: [SIGCHLD, 0, 0, 0, 0], save: fork.save, what: FORK };
    const before = compile([...calls, clone]);
    const parent = compile([...fork.parent, EXIT]);
    return Buffer.concat([before, machine.skipOnZero(parent.length), parent, compileAll(fork.child)]);
  };
  return { image: elf(machine.elfMachine, compileAll(program), data.bytes()), steps };
}

/** The step that makes a process of a {@link Program.fork}, as a failure names it. */
export const FORK = 'fork';

const EXIT: SystemCall = { call: 'exit_group', args: [0], what: 'exit' };

function compileCall(call: SystemCall, machine: Machine, data: DataSegment, steps: string[], report: bigint): Buffer {
  const step = steps.push(call.what) - 1;
  const invoke = machine.invoke(
    machine.number(call.call),
    call.args.map((operand) => data.operand(operand)),
  );
  if (call.forever) {
    const back = invoke.length + machine.jump(0).length;
    return Buffer.concat([invoke, machine.jump(-back)]);
  }
  if (call.tolerate === 'all') return invoke;
  const failure = call.otherwise
    ? compileCall(call.otherwise, machine, data, steps, report)
    : machine.fail(step, report);
  let tail = failure;
  for (const errno of [...(call.tolerate ?? [])].reverse())
    tail = Buffer.concat([machine.skipOnErrno(errno, tail.length), tail]);
  const store = call.save === undefined ? Buffer.alloc(0) : machine.store(data.slot(call.save));
  return Buffer.concat([invoke, machine.skipOnSuccess(tail.length), tail, store]);
}

/** What the program points at; everything in it may be written to. */
class DataSegment {
  readonly #chunks: Buffer[] = [];
  readonly #slots = new Map<string, bigint>();
  readonly #objects = new Map<object, bigint>();
  #size = 0;

  operand(operand: Operand): MachineOperand {
    if (typeof operand === 'number' || typeof operand === 'bigint') return { value: BigInt(operand), indirect: false };
    if (typeof operand === 'string') return { value: this.#string(operand), indirect: false };
    if (!(operand instanceof Uint8Array)) {
      if ('slot' in operand) return { value: this.slot(operand.slot), indirect: true };
      if ('addressOf' in operand) return { value: this.slot(operand.addressOf), indirect: false };
    }
    const address = this.#objects.get(operand) ?? this.#object(operand);
    this.#objects.set(operand, address);
    return { value: address, indirect: false };
  }

  #object(
    operand: Uint8Array | { readonly strings: readonly string[] } | { readonly words: readonly Operand[] },
  ): bigint {
    if (operand instanceof Uint8Array) return this.#add(operand);
    const values =
      'strings' in operand
        ? [...operand.strings.map((text) => this.#string(text)), 0n]
        : operand.words.map((word) => this.operand(word).value);
    const array = Buffer.alloc(values.length * 8);
    values.forEach((value, index) => {
      array.writeBigUInt64LE(BigInt.asUintN(64, value), index * 8);
    });
    return this.#add(array);
  }

  slot(name: string): bigint {
    const address = this.#slots.get(name) ?? this.reserve(8);
    this.#slots.set(name, address);
    return address;
  }

  reserve(size: number): bigint {
    return this.#add(Buffer.alloc(size));
  }

  bytes(): Buffer {
    return Buffer.concat(this.#chunks);
  }

  #string(text: string): bigint {
    if (text.includes('\0'))
      throw new InterlinkError(
        'Invalid',
        `a text with a NUL character cannot be given to a program: ${JSON.stringify(text)}`,
      );
    return this.#add(Buffer.from(`${text}\0`));
  }

  #add(bytes: Uint8Array): bigint {
    const address = DATA_BASE + BigInt(ELF_HEADER + 3 * PROGRAM_HEADER + this.#size);
    const padded = Buffer.allocUnsafe(Math.ceil(bytes.length / 8) * 8);
    padded.set(bytes);
    padded.fill(0, bytes.length);
    this.#chunks.push(padded);
    this.#size += padded.length;
    return address;
  }
}

/** Headers and data in one writable segment, code in another; addresses and offsets agree modulo any page size. */
function elf(machine: number, code: Buffer, data: Buffer): Buffer {
  const codeOffset = ELF_HEADER + 3 * PROGRAM_HEADER + data.length;
  const header = Buffer.alloc(ELF_HEADER + 3 * PROGRAM_HEADER);
  Buffer.from([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]).copy(header);
  header.writeUInt16LE(2, 16); // ET_EXEC
  header.writeUInt16LE(machine, 18);
  header.writeUInt32LE(1, 20);
  header.writeBigUInt64LE(CODE_BASE + BigInt(codeOffset), 24);
  header.writeBigUInt64LE(BigInt(ELF_HEADER), 32);
  header.writeUInt16LE(ELF_HEADER, 52);
  header.writeUInt16LE(PROGRAM_HEADER, 54);
  header.writeUInt16LE(3, 56);
  const segment = (index: number, type: number, flags: number, base: bigint, offset: number, size: number): void => {
    const start = ELF_HEADER + index * PROGRAM_HEADER;
    header.writeUInt32LE(type, start);
    header.writeUInt32LE(flags, start + 4);
    header.writeBigUInt64LE(BigInt(offset), start + 8);
    header.writeBigUInt64LE(base + BigInt(offset), start + 16);
    header.writeBigUInt64LE(base + BigInt(offset), start + 24);
    header.writeBigUInt64LE(BigInt(size), start + 32);
    header.writeBigUInt64LE(BigInt(size), start + 40);
    header.writeBigUInt64LE(0x10000n, start + 48);
  };
  segment(0, 1, 6, DATA_BASE, 0, codeOffset); // PT_LOAD, read and write
  segment(1, 1, 5, CODE_BASE, codeOffset, code.length); // PT_LOAD, read and execute
  segment(2, 0x6474e551, 6, 0n, 0, 0); // PT_GNU_STACK, not executable
  return Buffer.concat([header, data, code]);
}
