import { isAbsolute, join } from 'node:path';

/** A file to read and whether it has to exist. */
export interface ConfigFilePath {
  readonly path: string;
  readonly required: boolean;
}

/**
 * The files that hold the configuration, weakest first: the one that was named (`--config`, else `$INTERLINK_CONFIG`), otherwise the system's and then
 * the user's as far as they exist.
 * @see https://specifications.freedesktop.org/basedir-spec/latest/
 */
export function findConfigFiles(
  named: string | undefined,
  environment: Readonly<Record<string, string | undefined>>,
): readonly ConfigFilePath[] {
  const explicit = named ?? environment.INTERLINK_CONFIG;
  if (explicit !== undefined && explicit !== '') return [{ path: explicit, required: true }];
  const { XDG_CONFIG_HOME = '', HOME = '' } = environment;
  // The specification tells to ignore a relative path.
  const base = isAbsolute(XDG_CONFIG_HOME) ? XDG_CONFIG_HOME : isAbsolute(HOME) ? join(HOME, '.config') : undefined;
  const files = [{ path: '/etc/interlink/config.yaml', required: false }];
  if (base !== undefined) files.push({ path: join(base, 'interlink', 'config.yaml'), required: false });
  return files;
}
