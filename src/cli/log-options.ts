import { type Command, Option } from 'commander';

/** Levels of {@link addLogOptions}, quietest last. */
export const LOG_LEVELS = ['debug', 'info', 'warn', 'error'] as const;

/** Adds `--log-level` and `--log-format`. */
export function addLogOptions(command: Command): void {
  command
    .addOption(new Option('--log-level <level>', 'least important lines to write').choices(LOG_LEVELS).default('info'))
    .addOption(
      new Option('--log-format <format>', 'text or json; text on a terminal, else json').choices(['text', 'json']),
    );
}
