import { readFileSync } from 'node:fs';

/** What this program is. */
export interface BuildInfo {
  readonly version: string;
  /** Commit, with `-dirty` when the sources differed from it; `source` when run from the sources. */
  readonly commit: string;
}

declare const __INTERLINK_BUILD__: BuildInfo | undefined;

/** The facts that the build put into the executable, or package.json's version when run from the sources. */
export function buildInfo(): BuildInfo {
  if (typeof __INTERLINK_BUILD__ !== 'undefined') return __INTERLINK_BUILD__;
  const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as BuildInfo;
  return { version, commit: 'source' };
}
