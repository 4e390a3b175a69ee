import type { CliOutput } from './cli-io.ts';
import { EXIT } from './exit-codes.ts';

/** The part of `process` that ends it. */
export type ShutdownProcess = Pick<NodeJS.Process, 'on' | 'off' | 'exit'>;

const SIGNALS = { SIGHUP: 1, SIGINT: 2, SIGTERM: 15 } as const;
const WAIT_AFTER_MAIN_MS = 2_000;

/** How the process ends when it is told to. */
export interface ShutdownOptions {
  /** Time from the first signal until the process ends whatever is still open; unlimited when undefined. */
  readonly graceMs?: number;
}

/** Listens to signals until it is disposed; `signal` aborts on the first one. */
export interface Shutdown extends Disposable {
  readonly signal: AbortSignal;
}

/**
 * SIGINT and SIGTERM abort `signal`. A second one, or the end of the grace time, ends the process at once: containers are not children of
 * a daemon, so that nothing of a pod is lost. SIGHUP stops us too when we write to a terminal, which is going away then; otherwise it is
 * ignored, because Node undoes what `nohup` does.
 */
export function installShutdown(target: ShutdownProcess, stderr: CliOutput, options: ShutdownOptions = {}): Shutdown {
  const controller = new AbortController();
  let timer: NodeJS.Timeout | undefined;
  const onSignal = (name: NodeJS.Signals): void => {
    if (name === 'SIGHUP' && !stderr.isTTY) return;
    const code = 128 + SIGNALS[name as keyof typeof SIGNALS];
    if (controller.signal.aborted) {
      stderr.write(`interlink: second signal (${name}): ending at once\n`);
      target.exit(code);
      return;
    }
    controller.abort(new Error(`stopped by ${name}`));
    const { graceMs } = options;
    if (graceMs === undefined) return;
    timer = setTimeout(() => {
      stderr.write(`interlink: not stopped ${graceMs / 1_000} s after ${name}: ending at once\n`);
      target.exit(EXIT.failure);
    }, graceMs);
    timer.unref();
  };
  for (const name of Object.keys(SIGNALS)) target.on(name, onSignal);
  return {
    signal: controller.signal,
    [Symbol.dispose]() {
      clearTimeout(timer);
      for (const name of Object.keys(SIGNALS)) target.off(name, onSignal);
    },
  };
}

/**
 * Prepares the real process: a reader that closes our standard output (`| head`) ends us quietly, and a fault that nobody caught is shown with
 * its stack and ends the process.
 */
export function prepareProcess(target: NodeJS.Process): void {
  target.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error;
    target.exit(EXIT.failure);
  });
  const onFault = (error: unknown): void => {
    target.stderr.write(`interlink: internal error: ${error instanceof Error ? error.stack : String(error)}\n`);
    target.exit(EXIT.failure);
  };
  target.on('uncaughtException', onFault);
  target.on('unhandledRejection', onFault);
}

/** Ends the process a little after `main` has resolved, should something forgotten keep it alive. The exit code is the process's own. */
export function endAfterMain(target: Pick<NodeJS.Process, 'exit'>): void {
  setTimeout(() => target.exit(), WAIT_AFTER_MAIN_MS).unref();
}
