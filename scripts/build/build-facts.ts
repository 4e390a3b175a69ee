import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

/** What the executable knows of its own making; the same for the same commit, so that a build can be repeated. */
export interface BuildFacts {
  readonly version: string;
  /** Commit, with `-dirty` when tracked files differ from it; `unknown` outside a git work tree. */
  readonly commit: string;
}

/** Version from package.json and commit from git. */
export function readBuildFacts(root: string): BuildFacts {
  const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string };
  return { version, commit: readCommit(root) };
}

function readCommit(root: string): string {
  const git = (...args: string[]): string =>
    execFileSync('git', args, { cwd: root, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim();
  try {
    const dirty = git('status', '--porcelain', '--untracked-files=no') === '' ? '' : '-dirty';
    return `${git('rev-parse', '--short=12', 'HEAD')}${dirty}`;
  } catch {
    // No git or no work tree: a source archive.
    return 'unknown';
  }
}
