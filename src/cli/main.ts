import { buildInfo } from './build-info.ts';
import type { CliIo } from './cli-io.ts';

/**
 * Runs one command line (without the program's name) and resolves with its exit code; never rejects. Without `io` it is the process's own and the
 * process is prepared for it. Each command is loaded when it is named, so that `--version` costs nothing.
 */
export async function main(argv: readonly string[], io?: CliIo): Promise<number> {
  const [first, ...rest] = argv;
  process.umask(0o077);
  if (argv.length === 1 && (first === '--version' || first === '-V')) {
    (io?.stdout ?? process.stdout).write(`interlink ${buildInfo().version}\n`);
    return 0;
  }
  if (first === 'runner') return runHidden(rest, io);
  const { runCommandLine } = await import('./command-line.ts');
  if (io) return runCommandLine(argv, io);
  const { processIo } = await import('./process-io.ts');
  const { endAfterMain, prepareProcess } = await import('./shutdown.ts');
  prepareProcess(process);
  const code = await runCommandLine(argv, processIo());
  endAfterMain(process);
  return code;
}

/** A job's runner does without commander: it starts once per pod and lives as long as the pod. */
async function runHidden(args: readonly string[], io: CliIo | undefined): Promise<number> {
  const { runner } = await import('./runner.ts');
  try {
    return await runner(args);
  } catch (error) {
    const { describeError } = await import('./describe-error.ts');
    const { processIo } = await import('./process-io.ts');
    return describeError(error, io ?? processIo());
  }
}
