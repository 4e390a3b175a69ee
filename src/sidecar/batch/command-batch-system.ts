import type { CommandResult, CommandRunner } from '../../base/command.ts';
import { InterlinkError, isKind } from '../../base/errors.ts';
import type { Logger } from '../../base/logger.ts';
import type { BatchSystem } from './batch-system.ts';
import type { Argv, BatchDialect } from './dialect.ts';

export interface CommandBatchSystemDeps {
  readonly dialect: BatchDialect;
  readonly commands: CommandRunner;
  readonly logger: Logger;
}

export interface CommandBatchSystemOptions {
  /** The whole environment of the commands; no secret may be in it, as batch systems hand it on to jobs. */
  readonly env: Readonly<Record<string, string>>;
  readonly submitTimeoutMs: number;
  readonly commandTimeoutMs: number;
  /** Whether accounting may be asked. */
  readonly accounting: boolean;
}

/** A batch system that is reached by commands. */
export function createCommandBatchSystem(
  deps: CommandBatchSystemDeps,
  options: CommandBatchSystemOptions,
): BatchSystem {
  const { dialect, commands, logger } = deps;
  let hasAccounting = options.accounting;

  const run = async (argv: Argv, timeoutMs: number, signal: AbortSignal, cwd?: string): Promise<CommandResult> => {
    try {
      const result = await commands.run(argv, {
        env: options.env,
        timeoutMs,
        signal,
        ...(cwd === undefined ? {} : { cwd }),
      });
      const { exitCode, timedOut } = result;
      logger.debug('command ended', { argv, exitCode, timedOut });
      return result;
    } catch (error) {
      signal.throwIfAborted();
      // A missing program is the site's fault and may be mended; the pod that met it must not fail for good.
      if (isKind(error, 'NotFound', 'Forbidden'))
        throw new InterlinkError('Unavailable', error.message, { code: error.code, cause: error });
      throw error;
    }
  };
  const ask = async (argv: Argv, signal: AbortSignal): Promise<CommandResult> => {
    const result = await run(argv, options.commandTimeoutMs, signal);
    if (result.timedOut)
      throw new InterlinkError(
        'DeadlineExceeded',
        `${argv[0]} did not answer within ${options.commandTimeoutMs / 1000} s; see whether the batch system is up`,
        { code: 'batch.timeout' },
      );
    return result;
  };

  return {
    name: dialect.name,
    plan: (bundle) => dialect.plan(bundle),
    async submit(request, signal) {
      const result = await run(dialect.submit(request), options.submitTimeoutMs, signal, request.directory.root);
      if (result.stderr.trim() !== '')
        logger.debug('submit command said', { podUid: request.uid, stderr: result.stderr.trim() });
      return dialect.readSubmit(result);
    },
    async list(_known, signal) {
      return dialect.readList(await ask(dialect.list(), signal));
    },
    async lookUp(jobs, signal) {
      if (!hasAccounting) return undefined;
      const rows = dialect.readLookUp(await ask(dialect.lookUp(jobs), signal));
      if (rows === undefined) {
        hasAccounting = false;
        logger.info('the batch system keeps no accounts; ended jobs are known from the queue and their runners alone');
      }
      return rows;
    },
    async terminate(job, signal) {
      dialect.checkControl(await ask(dialect.terminate(job.jobId), signal));
    },
    async cancel(job, onlyPending, signal) {
      dialect.checkControl(await ask(dialect.cancel(job.jobId, onlyPending), signal));
    },
    async capacity(signal) {
      return dialect.readCapacity(await ask(dialect.capacity(), signal));
    },
  };
}
