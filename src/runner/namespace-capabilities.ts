import { InterlinkError } from '../base/errors.ts';

/** Numbers of linux/capability.h by the names that Kubernetes uses. */
const NUMBERS: Readonly<Record<string, number>> = {
  CHOWN: 0,
  DAC_OVERRIDE: 1,
  DAC_READ_SEARCH: 2,
  FOWNER: 3,
  FSETID: 4,
  KILL: 5,
  SETGID: 6,
  SETUID: 7,
  SETPCAP: 8,
  LINUX_IMMUTABLE: 9,
  NET_BIND_SERVICE: 10,
  NET_BROADCAST: 11,
  NET_ADMIN: 12,
  NET_RAW: 13,
  IPC_LOCK: 14,
  IPC_OWNER: 15,
  SYS_MODULE: 16,
  SYS_RAWIO: 17,
  SYS_CHROOT: 18,
  SYS_PTRACE: 19,
  SYS_PACCT: 20,
  SYS_ADMIN: 21,
  SYS_BOOT: 22,
  SYS_NICE: 23,
  SYS_RESOURCE: 24,
  SYS_TIME: 25,
  SYS_TTY_CONFIG: 26,
  MKNOD: 27,
  LEASE: 28,
  AUDIT_WRITE: 29,
  AUDIT_CONTROL: 30,
  SETFCAP: 31,
  MAC_OVERRIDE: 32,
  MAC_ADMIN: 33,
  SYSLOG: 34,
  WAKE_ALARM: 35,
  BLOCK_SUSPEND: 36,
  AUDIT_READ: 37,
  PERFMON: 38,
  BPF: 39,
  CHECKPOINT_RESTORE: 40,
};

/** What a container has when its pod says nothing: the set of containerd and Docker. */
const DEFAULT: readonly string[] = [
  ...['CHOWN', 'DAC_OVERRIDE', 'FOWNER', 'FSETID', 'KILL', 'SETGID', 'SETUID', 'SETPCAP', 'NET_BIND_SERVICE'],
  ...['NET_RAW', 'SYS_CHROOT', 'MKNOD', 'AUDIT_WRITE', 'SETFCAP'],
];

/** The security context as far as it is about capabilities. */
export interface CapabilityChoice {
  readonly privileged?: boolean;
  readonly add?: readonly string[];
  readonly drop?: readonly string[];
}

/**
 * Numbers of the capabilities that a container must never get: all that its bounding set does not hold.
 * @throws Invalid with code `CreateContainerConfigError` for a name that does not exist.
 * @see https://kubernetes.io/docs/tasks/configure-pod-container/security-context/#set-capabilities-for-a-container
 */
export function droppedCapabilities({ privileged = false, add = [], drop = [] }: CapabilityChoice): readonly number[] {
  if (privileged) return [];
  const allowed = new Set(isAll(drop) ? [] : isAll(add) ? Object.keys(NUMBERS) : DEFAULT);
  for (const name of drop) if (!isAll([name])) allowed.delete(known(name));
  if (isAll(add)) for (const name of Object.keys(NUMBERS)) allowed.add(name);
  for (const name of add) if (!isAll([name])) allowed.add(known(name));
  return Object.entries(NUMBERS)
    .filter(([name]) => !allowed.has(name))
    .map(([, number]) => number);
}

function isAll(names: readonly string[]): boolean {
  return names.some((name) => name.toUpperCase() === 'ALL');
}

function known(name: string): string {
  const short = name.toUpperCase().replace(/^CAP_/, '');
  if (!(short in NUMBERS))
    throw new InterlinkError('Invalid', `unknown capability ${JSON.stringify(name)} in securityContext.capabilities`, {
      code: 'CreateContainerConfigError',
    });
  return short;
}
