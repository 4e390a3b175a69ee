import { access, constants, stat } from 'node:fs/promises';
import { InterlinkError } from '../base/errors.ts';
import type { Logger } from '../base/logger.ts';
import { LINUX } from './namespace-linux.ts';
import { mountFlags } from './namespace-volumes.ts';
import { makeOwnedDirectory } from './owned-directory.ts';

export interface ScratchDirectoryOptions {
  /** Directories on the worker, the best first; `$NAME` and `${NAME}` stand for variables of the job. */
  readonly candidates: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
  readonly podUid: string;
  readonly logger: Logger;
}

/**
 * A directory of the pod in the first candidate that can be used: its variables are set, it is there, this user may write to it and programs may be executed in
 * it. Undefined where none can. It is removed as {@link makeOwnedDirectory} says.
 */
export async function makeScratchDirectory(options: ScratchDirectoryOptions): Promise<string | undefined> {
  const { candidates, environment, podUid, logger } = options;
  for (const candidate of candidates) {
    const parent = expand(candidate, environment);
    if (parent === undefined) continue;
    try {
      await check(parent);
      return await makeOwnedDirectory(parent, podUid, logger);
    } catch (error) {
      logger.info('a scratch directory cannot be used', { path: parent, err: error });
    }
  }
  if (candidates.length > 0)
    logger.warn('no scratch directory can be used; emptyDirs go to the job directory', { candidates });
  return undefined;
}

function expand(candidate: string, environment: Readonly<Record<string, string>>): string | undefined {
  let isWhole = true;
  const path = candidate.replace(/\$(?:\{(\w+)\}|(\w+))/g, (_match, braced?: string, plain?: string) => {
    const value = environment[braced ?? plain ?? ''];
    isWhole &&= Boolean(value);
    return value ?? '';
  });
  return isWhole && path.startsWith('/') ? path : undefined;
}

async function check(path: string): Promise<void> {
  if (!(await stat(path)).isDirectory()) throw new InterlinkError('Invalid', `${path} is not a directory`);
  await access(path, constants.W_OK | constants.X_OK);
  if (process.platform === 'linux' && (mountFlags(path) & LINUX.MS_NOEXEC) !== 0)
    throw new InterlinkError('Invalid', `${path} is mounted noexec`);
}
