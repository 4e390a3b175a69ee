import { readdirSync, readlinkSync } from 'node:fs';
import { InterlinkError, systemCodeOf } from '../base/errors.ts';
import type { Logger } from '../base/logger.ts';

/** The processes of one container in a process namespace that it shares with others. */
export interface ContainerProcesses {
  /** Kills those that are left, but not the keeper. To be called before the keeper is let go. */
  end(logger: Logger): void;
}

const ROUNDS = 20;

/**
 * Recognizes a container's processes by its mount namespace, which its keeper holds, within the process namespace of the pod. Both are looked up while the keeper is known to
 * live, and must not be those of this process: a number that meant another process would otherwise select every process of the worker.
 *
 * @param holder Pid of the process that holds the pod's process namespace.
 * @returns undefined when the keeper has ended already
 * @throws Internal when the namespaces are our own.
 */
export function containerProcesses(keeper: number, holder: number): ContainerProcesses | undefined {
  const mount = namespaceOf(keeper, 'mnt');
  const processes = namespaceOf(holder, 'pid');
  if (mount === undefined || processes === undefined) return undefined;
  if (mount === namespaceOf('self', 'mnt') || processes === namespaceOf('self', 'pid'))
    throw new InterlinkError('Internal', 'a container is in the namespaces of its runner', {
      details: { keeper, holder },
    });
  const isLeft = (pid: number): boolean =>
    pid > 1 &&
    pid !== process.pid &&
    pid !== keeper &&
    namespaceOf(pid, 'pid') === processes &&
    namespaceOf(pid, 'mnt') === mount;
  return {
    end(logger) {
      for (let round = 0; round < ROUNDS; round += 1) {
        // The namespace went with its holder, and every process in it.
        if (namespaceOf(holder, 'pid') !== processes) return;
        const left = readdirSync('/proc').map(Number).filter(isLeft);
        if (left.length === 0) return;
        for (const pid of left) kill(pid);
      }
      logger.warn('processes of a container with a shared process namespace do not end', { keeper });
    },
  };
}

function namespaceOf(pid: number | 'self', kind: 'mnt' | 'pid'): string | undefined {
  try {
    return readlinkSync(`/proc/${pid}/ns/${kind}`);
  } catch {
    return undefined;
  }
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch (error) {
    // One that may not be killed shows in the next round, and in the end in the log.
    if (systemCodeOf(error) !== 'ESRCH' && systemCodeOf(error) !== 'EPERM') throw error;
  }
}
