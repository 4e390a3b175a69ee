import { release } from 'node:os';

/** Whether the kernel is of this version or newer. */
export function isKernelSince(major: number, minor: number, version = release()): boolean {
  const [ownMajor = 0, ownMinor = 0] = version.split('.').map(Number);
  return ownMajor > major || (ownMajor === major && ownMinor >= minor);
}
