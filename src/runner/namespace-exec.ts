import { text } from 'node:stream/consumers';
import { InterlinkError, systemCodeOf } from '../base/errors.ts';
import { ChannelReader } from './namespace-channel.ts';
import { LINUX } from './namespace-linux.ts';
import type { SystemCall } from './namespace-program.ts';
import type { Sandbox } from './namespace-sandbox.ts';
import { spawnProgram } from './namespace-spawn.ts';
import { waitStatus } from './namespace-status.ts';

/** How a program in the sandbox ended. */
export interface SandboxCommandResult {
  /** 128+n after signal n. */
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface SandboxCommandOptions {
  /** Made just before the program is executed, in its process, e.g. to give it mounts of its own. */
  readonly before?: readonly SystemCall[];
  /** Kills the program. */
  readonly signal?: AbortSignal;
}

/**
 * Runs a program of the worker in the sandbox, as its root; what it leaves in the background lives as long as the sandbox. It sees the worker's files and what is
 * mounted in the sandbox.
 *
 * @param argv The program by its absolute path.
 * @throws Unavailable when it cannot be executed; `signal.reason`.
 */
export async function runInSandbox(
  sandbox: Sandbox,
  argv: readonly [string, ...string[]],
  env: Readonly<Record<string, string>> = {},
  { before = [], signal }: SandboxCommandOptions = {},
): Promise<SandboxCommandResult> {
  signal?.throwIfAborted();
  const run = await spawnProgram(
    {
      calls: sandbox.join({ processes: true }),
      fork: {
        save: 'child',
        parent: [
          { call: 'write', args: [4, { addressOf: 'child' }, 8], what: 'tell the pid' },
          ...[1, 2, 3].map((fd) => ({ call: 'close' as const, args: [fd], what: 'close' })),
          { call: 'wait4', args: [{ slot: 'child' }, { addressOf: 'status' }, 0, 0], what: 'wait' },
          { call: 'write', args: [4, { addressOf: 'status' }, 4], what: 'tell the end' },
        ],
        child: {
          calls: [
            { call: 'close', args: [4], what: 'close' },
            ...before,
            { call: 'fcntl', args: [3, LINUX.F_SETFD, LINUX.FD_CLOEXEC], what: 'close the report' },
            {
              call: 'execve',
              args: [
                argv[0],
                { strings: argv },
                { strings: Object.entries(env).map(([name, value]) => `${name}=${value}`) },
              ],
              what: argv[0],
            },
          ],
        },
      },
    },
    { directory: sandbox.directory, stdio: ['ignore', 'pipe', 'pipe'] },
  );
  const { stdout: out, stderr: err } = run.child;
  const reader = new ChannelReader(run.channel);
  let ended = false;
  let pid: number | undefined;
  const kill = (): void => {
    if (pid === undefined || ended) return;
    try {
      process.kill(pid, 'SIGKILL');
    } catch (error) {
      if (systemCodeOf(error) !== 'ESRCH') throw error;
    }
  };
  const waitForEnd = async (): Promise<Buffer | undefined> => {
    pid = Number((await reader.read(8))?.readBigInt64LE() ?? 0) || undefined;
    if (signal?.aborted) kill();
    const status = await reader.read(4);
    ended = true;
    return status;
  };
  signal?.addEventListener('abort', kill);
  const [failure, status, stdout, stderr] = await Promise.all([
    run.report,
    waitForEnd(),
    out ? text(out) : '',
    err ? text(err) : '',
  ]).finally(() => signal?.removeEventListener('abort', kill));
  run.channel.destroy();
  signal?.throwIfAborted();
  if (failure)
    throw new InterlinkError('Unavailable', `${failure.what}: ${failure.reason}`, {
      code: 'runtime.system-call',
      details: { ...failure },
    });
  return { exitCode: waitStatus(status).exitCode, stdout, stderr };
}
