import type { Command } from 'commander';
import type { CliIo } from './cli-io.ts';
import type { ShutdownOptions } from './shutdown.ts';

/** What was typed, parsed. */
export interface CliInput {
  readonly operands: readonly string[];
  /** Values of options by their camel-cased names. */
  readonly options: Readonly<Record<string, unknown>>;
}

/** One command; loaded only when it is named. */
export interface CliCommand {
  /** Adds arguments, options, examples and exit codes to a command that has its name and summary already. */
  configure(command: Command): void | Promise<void>;
  /** Further lines of the exit codes in the help. */
  readonly exitCodesNote?: string;
  /** Does the work. @returns the exit code. @throws what `describeError` turns into a message and an exit code. */
  run(input: CliInput, io: CliIo): Promise<number>;
  /** Set by commands that live until a signal: `io.signal` is then aborted by the first one. */
  readonly shutdown?: ShutdownOptions;
}
