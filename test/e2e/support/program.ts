import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, existsSync, openSync, readFileSync } from 'node:fs';
import { outputOf } from './command.ts';
import { until } from './until.ts';

export interface ProgramOptions {
  readonly name: string;
  readonly argv: readonly string[];
  /** Runs as this user with nothing but this environment. */
  readonly user: string;
  readonly env: Readonly<Record<string, string>>;
  readonly cwd: string;
  /** Both output streams, appended to over restarts. */
  readonly logFile: string;
}

/** A part of the stack as one process that can be killed and started again. */
export interface Program {
  readonly name: string;
  readonly pid: number | undefined;
  start(): Promise<void>;
  /** Resolves when the process is gone. Does nothing when it is not running. */
  kill(signal: NodeJS.Signals): Promise<void>;
  log(): string;
}

/** Describes a program; `start` starts it. */
export async function createProgram(options: ProgramOptions): Promise<Program> {
  const identity = (await outputOf(['getent', 'passwd', options.user])).split(':');
  const [, , uid = '', gid = ''] = identity;
  let child: ChildProcess | undefined;
  return {
    name: options.name,
    get pid() {
      return child?.exitCode === null && child.signalCode === null ? child.pid : undefined;
    },
    async start() {
      const log = openSync(options.logFile, 'a');
      const variables = Object.entries({ HOME: identity[5] ?? '/', USER: options.user, ...options.env });
      // Each of these replaces itself by the next, so the pid is the program's own.
      const argv = [
        '--reuid',
        uid,
        '--regid',
        gid,
        '--init-groups',
        'env',
        '-i',
        ...variables.map((pair) => pair.join('=')),
      ];
      child = spawn('setpriv', [...argv, ...options.argv], { cwd: options.cwd, stdio: ['ignore', log, log] });
      closeSync(log);
      await new Promise<void>((resolve, reject) => child?.once('spawn', resolve).once('error', reject));
    },
    async kill(signal) {
      const process = child;
      if (process === undefined || process.exitCode !== null || process.signalCode !== null) return;
      process.kill(signal);
      await until(
        `${options.name} ends after ${signal}`,
        () => process.exitCode !== null || process.signalCode !== null,
        {
          withinMs: 30_000,
          everyMs: 20,
        },
      );
      child = undefined;
    },
    log: () => (existsSync(options.logFile) ? readFileSync(options.logFile, 'utf8') : ''),
  };
}
