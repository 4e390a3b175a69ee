import { LINUX } from './namespace-linux.ts';
import type { SystemCall } from './namespace-program.ts';

/**
 * Mounts a new proc for the container's processes. Where parts of the worker's own are hidden, as in Docker, the kernel refuses that; `source`, the
 * worker's, is bound then.
 */
export function procCall(target: string, source: string): SystemCall {
  const { MS_BIND, MS_NODEV, MS_NOEXEC, MS_NOSUID, MS_REC } = LINUX;
  return {
    call: 'mount',
    args: ['proc', target, 'proc', MS_NOSUID | MS_NODEV | MS_NOEXEC, 0],
    otherwise: { call: 'mount', args: [source, target, 0, MS_BIND | MS_REC, 0], what: 'mount /proc' },
    what: 'mount /proc',
  };
}
