import { type Command, Option } from 'commander';
import type { z } from 'zod';
import { type ConfigKey, listConfigKeys } from '../config/config-key.ts';
import { renderPath } from '../config/config-path.ts';
import { findConfigFiles } from '../config/find-files.ts';
import type { ConfigSources } from '../config/load-config.ts';
import type { CliInput } from './cli-command.ts';
import type { CliIo } from './cli-io.ts';
import { SECTIONS } from './config-sections.ts';

/** Adds `--config`. */
export function addConfigOption(command: Command): void {
  command.addOption(
    new Option(
      '-c, --config <file>',
      'configuration file; else $INTERLINK_CONFIG, else /etc/interlink/config.yaml and $XDG_CONFIG_HOME/interlink/config.yaml',
    ),
  );
}

/**
 * Adds one flag for each key of a section but those below `omit`. A name that the command has already is left to the file and the environment.
 */
export function addKeyOptions(
  command: Command,
  section: string,
  schema: z.ZodType,
  omit: readonly string[] = [],
): void {
  command.optionsGroup('Configuration (each also in the file and as a variable, see `interlink config view`):');
  const taken = new Set(command.options.map((option) => option.long));
  for (const key of listConfigKeys(section, schema)) {
    if (taken.has(key.flag) || omit.includes(String(key.path[1]))) continue;
    taken.add(key.flag);
    command.addOption(new Option(`${key.flag} ${argumentOf(key)}`, describeKey(key)));
  }
}

/** The sources that a parsed command line stands for; `section` is the one whose keys have flags, if any. */
export function configSources(
  { options }: CliInput,
  { env }: CliIo,
  flags?: { readonly section: string; readonly schema: z.ZodType },
): ConfigSources {
  const given = new Map<string, string>();
  if (flags)
    for (const key of listConfigKeys(flags.section, flags.schema)) {
      const value = options[new Option(`${key.flag} <value>`).attributeName()];
      if (typeof value === 'string') given.set(renderPath(key.path), value);
      // A boolean flag without a value.
      else if (value === true) given.set(renderPath(key.path), 'true');
    }
  const named = typeof options.config === 'string' ? options.config : undefined;
  return { files: findConfigFiles(named, env), environment: env, flags: given, knownSections: SECTIONS };
}

function argumentOf({ shape }: ConfigKey): string {
  switch (shape.type) {
    case 'boolean':
      return '[true|false]';
    case 'number':
      return '<number>';
    case 'choice':
      return `<${shape.values.join('|')}>`;
    case 'list':
      return shape.items.type === 'object' ? '<json>' : '<item,…>';
    case 'record':
      return shape.values.type === 'object' ? '<json>' : '<key=value,…>';
    default:
      return '<text>';
  }
}

/** Longer defaults would hide the text; `interlink config view` shows them. */
const MAX_DEFAULT_LENGTH = 80;

function describeKey({ description, defaultValue, required }: ConfigKey): string {
  const value = typeof defaultValue === 'string' ? defaultValue : (JSON.stringify(defaultValue) ?? '');
  const shown = value !== '' && value !== 'null' && value.length <= MAX_DEFAULT_LENGTH;
  const end = shown ? ` (default: ${value})` : required ? ' (required)' : '';
  return `${description ?? ''}${end}`.trimStart();
}
