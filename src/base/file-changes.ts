import { type FSWatcher, watch } from 'node:fs';
import { dirname } from 'node:path';
import type { Clock } from './clock.ts';

const POLL_MS = 250;

/** Tells when a file may have changed. */
export interface FileChanges {
  /** Resolves after the next change since the last call, or after at most a quarter of a second; rejects with `signal.reason`. */
  wait(options: { readonly clock: Clock; readonly signal: AbortSignal }): Promise<void>;
  close(): void;
}

/** Wakes on a change of the directory where the kernel tells (not on network file systems), and by a poll always. */
export function watchFile(path: string): FileChanges {
  let changed = false;
  let wake: (() => void) | undefined;
  let watcher: FSWatcher | undefined;
  const give = (): void => {
    watcher?.close();
    watcher = undefined;
  };
  try {
    watcher = watch(dirname(path), { persistent: false }, () => {
      changed = true;
      wake?.();
    });
    // Out of inotify instances, or the directory went away: the poll goes on alone.
    watcher.on('error', give);
  } catch {
    give();
  }
  return {
    async wait({ clock, signal }) {
      const done = new AbortController();
      const slept = clock.sleep(POLL_MS, { signal: AbortSignal.any([signal, done.signal]) });
      try {
        await Promise.race([
          slept,
          new Promise<void>((resolve) => {
            wake = resolve;
            if (changed) resolve();
          }),
        ]);
      } finally {
        changed = false;
        wake = undefined;
        done.abort();
        await slept.catch(() => {});
      }
    },
    close: give,
  };
}
