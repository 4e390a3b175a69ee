import { LINUX } from './namespace-linux.ts';
import type { SystemCall } from './namespace-program.ts';

/** Closes descriptors, also some that are not open. */
export function closeCalls(descriptors: readonly number[]): readonly SystemCall[] {
  return descriptors.map((fd) => ({ call: 'close', args: [fd], tolerate: 'all', what: 'close' }));
}

/** When memory runs out in the job, the kernel shall take a container and not the runner, which has to tell what happened. Anybody may raise the score. */
export const VICTIM: readonly SystemCall[] = [
  {
    call: 'openat',
    args: [LINUX.AT_FDCWD, '/proc/self/oom_score_adj', LINUX.O_WRONLY | LINUX.O_CLOEXEC, 0],
    save: 'score',
    what: 'open the out-of-memory score',
  },
  { call: 'write', args: [{ slot: 'score' }, '1000', 4], tolerate: 'all', what: 'raise the out-of-memory score' },
];
