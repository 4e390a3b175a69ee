import { readdirSync, readFileSync } from 'node:fs';
import { systemCodeOf } from '../base/errors.ts';

/** Sends the signal; does nothing when there is no such process (any more). @param pid Negative for a process group. */
export function sendSignal(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch (error) {
    if (systemCodeOf(error) !== 'ESRCH') throw error;
  }
}

/**
 * Kills a process, its process group and all its descendants. Each is stopped before its children are listed, so that none is born meanwhile. What has been left by its own
 * parent before, as daemons are, and has made a process group of its own is not found: it ends with its container.
 */
export function killTree(root: number): void {
  const tree = [root];
  for (const pid of tree) {
    signalOwn(pid, 'SIGSTOP');
    tree.push(...childrenOf(pid));
  }
  for (const pid of [-root, ...tree]) signalOwn(pid, 'SIGKILL');
}

/** Without isolation a program with the set-user-ID bit is not ours to signal; what else is in the tree is. */
function signalOwn(pid: number, signal: NodeJS.Signals): void {
  try {
    sendSignal(pid, signal);
  } catch (error) {
    if (systemCodeOf(error) !== 'EPERM') throw error;
  }
}

/** Of every thread; empty for a process that has gone. */
function childrenOf(pid: number): readonly number[] {
  try {
    return readdirSync(`/proc/${pid}/task`).flatMap((thread) =>
      readFileSync(`/proc/${pid}/task/${thread}/children`, 'utf8').split(' ').filter(Boolean).map(Number),
    );
  } catch (error) {
    if (systemCodeOf(error) === 'ENOENT' || systemCodeOf(error) === 'ESRCH') return [];
    throw error;
  }
}
