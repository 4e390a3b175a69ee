import { Command, CommanderError } from 'commander';
import { buildInfo } from './build-info.ts';
import type { CliCommand } from './cli-command.ts';
import type { CliIo } from './cli-io.ts';
import { COMMANDS, type CommandEntry, GROUPS } from './commands.ts';
import { describeError } from './describe-error.ts';
import { EXIT } from './exit-codes.ts';
import { EXIT_CODES_HELP, examplesHelp } from './help-text.ts';
import { installShutdown } from './shutdown.ts';

/** Parses a command line, runs its command and gives the exit code; everything that goes wrong is written to standard error. */
export async function runCommandLine(argv: readonly string[], io: CliIo): Promise<number> {
  try {
    return await runNamedCommand(argv, io);
  } catch (error) {
    // Commander has written its message already.
    if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.ok : EXIT.usage;
    return describeError(error, io);
  }
}

async function runNamedCommand(argv: readonly string[], io: CliIo): Promise<number> {
  const program = createProgram(io);
  const named = findNamed(argv);
  let exitCode: number = EXIT.ok;
  for (const entry of COMMANDS) {
    const command = addCommand(program, entry);
    if (entry !== named) continue;
    const loaded = await entry.load();
    await loaded.configure(command);
    command.addHelpText('after', `${EXIT_CODES_HELP}${loaded.exitCodesNote ?? ''}`);
    command.action(async (...args: unknown[]) => {
      const operands = command.args;
      const options = args.at(-2) as Readonly<Record<string, unknown>>;
      exitCode = await runWithSignals(loaded, { operands, options }, io);
    });
  }
  await program.parseAsync([...argv], { from: 'user' });
  return exitCode;
}

function createProgram(io: CliIo): Command {
  const program = new Command('interlink')
    .description('Runs a Kubernetes pod on any resource that can run a container.')
    .version(`interlink ${buildInfo().version}`, '-V, --version', 'print the version')
    .helpOption('-h, --help', 'show help')
    .helpCommand('help [command]', 'show help for a command')
    .enablePositionalOptions()
    .exitOverride()
    .configureOutput({
      writeOut: (text) => void io.stdout.write(text),
      writeErr: (text) => void io.stderr.write(text),
      outputError: (text, write) => write(text),
      getOutHelpWidth: () => io.stdout.columns ?? 100,
      getErrHelpWidth: () => io.stderr.columns ?? 100,
      getOutHasColors: () => false,
      getErrHasColors: () => false,
    });
  program.addHelpText(
    'after',
    examplesHelp(
      ['run a pod on this machine, without any cluster', 'interlink run examples/hello.yaml --runtime process'],
      ['offer this Slurm cluster to a proxy on the same machine', 'interlink sidecar slurm --config site.yaml'],
    ) + EXIT_CODES_HELP,
  );
  return program;
}

/** The entry whose words begin the command line, help included (`help config view`). */
function findNamed(argv: readonly string[]): CommandEntry | undefined {
  const words = argv[0] === 'help' ? argv.slice(1) : argv;
  return COMMANDS.find(({ path }) => path.every((word, index) => words[index] === word));
}

function addCommand(program: Command, { path, summary }: CommandEntry): Command {
  const [group, name] = path;
  if (name === undefined) return program.command(group).description(summary);
  const parent =
    program.commands.find((command) => command.name() === group) ??
    program
      .command(group)
      .description(GROUPS[group] ?? group)
      .helpCommand(false);
  return parent.command(name).description(summary);
}

async function runWithSignals(
  command: CliCommand,
  input: Parameters<CliCommand['run']>[0],
  io: CliIo,
): Promise<number> {
  if (!command.shutdown) return command.run(input, io);
  using shutdown = installShutdown(process, io.stderr, command.shutdown);
  const signal = AbortSignal.any([io.signal, shutdown.signal]);
  const stoppable = { ...io, signal };
  try {
    return await command.run(input, stoppable);
  } catch (error) {
    return describeError(error, stoppable);
  }
}
