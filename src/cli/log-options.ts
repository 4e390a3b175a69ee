import { type Command, Option } from 'commander';
import type { Logger } from '../base/logger.ts';
import type { CliInput } from './cli-command.ts';
import type { CliIo } from './cli-io.ts';
import { createLogger } from './create-logger.ts';
import { useColour } from './use-colour.ts';

const LOG_LEVELS = ['debug', 'info', 'warn', 'error'];

/** Adds `--log-level` and `--log-format`. */
export function addLogOptions(command: Command): void {
  command
    .addOption(new Option('--log-level <level>', 'least important lines to write').choices(LOG_LEVELS).default('info'))
    .addOption(
      new Option('--log-format <format>', 'text or json; text on a terminal, else json').choices(['text', 'json']),
    );
}

/** The logger that {@link addLogOptions} describes, writing to standard error. */
export function loggerFor({ options }: CliInput, io: CliIo): Logger {
  const { logLevel, logFormat } = options;
  return createLogger({
    level: typeof logLevel === 'string' ? logLevel : 'info',
    format: logFormat === 'text' || logFormat === 'json' ? logFormat : undefined,
    output: io.stderr,
    colour: useColour(io),
  });
}
