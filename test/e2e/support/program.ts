import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, existsSync, openSync, readdirSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { outputOf } from './command.ts';
import { until } from './until.ts';

export interface ProgramOptions {
  readonly name: string;
  readonly argv: readonly string[];
  /** Runs as this user with nothing but this environment. */
  readonly user: string;
  readonly env: Readonly<Record<string, string>>;
  readonly cwd: string;
  /** Holds `NAME.log`, both output streams over all restarts, and `NAME.pid`. */
  readonly directory: string;
}

/** A part of the stack as one process that can be killed and started again. */
export interface Program {
  readonly name: string;
  /** Undefined while it is not running. */
  readonly pid: number | undefined;
  start(): Promise<void>;
  /** Resolves when the process is gone. Does nothing when it is not running. */
  kill(signal: NodeJS.Signals): Promise<void>;
  log(): string;
}

/** Describes a program; `start` starts it. */
export async function createProgram(options: ProgramOptions): Promise<Program> {
  const { name, directory } = options;
  const logFile = join(directory, `${name}.log`);
  const [, , uid = '', gid = '', , home = '/'] = (await outputOf(['getent', 'passwd', options.user])).split(':');
  let child: ChildProcess | undefined;
  const hasEnded = (process: ChildProcess): boolean => process.exitCode !== null || process.signalCode !== null;
  return {
    name,
    get pid() {
      return child === undefined || hasEnded(child) ? undefined : child.pid;
    },
    async start() {
      const log = openSync(logFile, 'a');
      const variables = Object.entries({ HOME: home, USER: options.user, ...options.env });
      // Each of these replaces itself by the next, so the pid is the program's own.
      const become = [
        '--reuid',
        uid,
        '--regid',
        gid,
        '--init-groups',
        'env',
        '-i',
        ...variables.map((pair) => pair.join('=')),
      ];
      const process = spawn('setpriv', [...become, ...options.argv], { cwd: options.cwd, stdio: ['ignore', log, log] });
      closeSync(log);
      await new Promise<void>((resolve, reject) => process.once('spawn', resolve).once('error', reject));
      writeFileSync(join(directory, `${name}.pid`), String(process.pid));
      child = process;
    },
    async kill(signal) {
      const process = child;
      if (process === undefined || hasEnded(process)) return;
      process.kill(signal);
      await until(`${name} ends after ${signal}`, () => hasEnded(process), { withinMs: 30_000, everyMs: 20 });
    },
    log: () => (existsSync(logFile) ? readFileSync(logFile, 'utf8') : ''),
  };
}

/** Ends what a run that was itself killed has left of the programs of this directory, runners of a local sidecar among them. */
export async function endLeftovers(directory: string): Promise<void> {
  const files = existsSync(directory) ? readdirSync(directory).filter((file) => file.endsWith('.pid')) : [];
  const noted = files.map((file) => Number(readFileSync(join(directory, file), 'utf8')));
  // A noted number may long be another process's.
  const isNoted = (pid: number): boolean =>
    textOf(() => readFileSync(`/proc/${pid}/cmdline`, 'utf8')).includes(`${directory}/`);
  const isRunner = (pid: number): boolean => textOf(() => readlinkSync(`/proc/${pid}/cwd`)).startsWith(`${directory}/`);
  const runners = readdirSync('/proc').map(Number).filter(isRunner);
  for (const pid of new Set([...noted.filter(isNoted), ...runners])) {
    try {
      process.kill(pid, 'SIGKILL');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
    }
    await until(`process ${pid} of an earlier run ends`, () => !isNoted(pid) && !isRunner(pid), { everyMs: 20 });
  }
}

/** What a file of a process says; nothing when there is no such process, or no longer. */
function textOf(read: () => string): string {
  try {
    return read();
  } catch {
    return '';
  }
}
