import { isSea } from 'node:sea';
import { fileURLToPath } from 'node:url';

/** The argv prefix that starts this very program again: the executable, or Node with the entry file when run from the sources. */
export function selfCommand(): readonly [string, ...string[]] {
  return isSea()
    ? [process.execPath]
    : [process.execPath, fileURLToPath(new URL('../../bin/interlink.ts', import.meta.url))];
}
