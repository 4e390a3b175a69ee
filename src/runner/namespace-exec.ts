import { text } from 'node:stream/consumers';
import { InterlinkError } from '../base/errors.ts';
import { ChannelReader } from './namespace-channel.ts';
import { LINUX } from './namespace-linux.ts';
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

/**
 * Runs a program of the worker in the sandbox, as its root; what it leaves in the background lives as long as the sandbox. It sees the worker's files and what is
 * mounted in the sandbox.
 *
 * @param argv The program by its absolute path.
 * @throws Unavailable when it cannot be executed.
 */
export async function runInSandbox(
  sandbox: Sandbox,
  argv: readonly [string, ...string[]],
  env: Readonly<Record<string, string>> = {},
): Promise<SandboxCommandResult> {
  const run = await spawnProgram(
    {
      calls: sandbox.join({ processes: true }),
      fork: {
        save: 'child',
        parent: [
          ...[1, 2, 3].map((fd) => ({ call: 'close' as const, args: [fd], what: 'close' })),
          { call: 'wait4', args: [{ slot: 'child' }, { addressOf: 'status' }, 0, 0], what: 'wait' },
          { call: 'write', args: [4, { addressOf: 'status' }, 4], what: 'tell the end' },
        ],
        child: {
          calls: [
            { call: 'close', args: [4], what: 'close' },
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
  const [failure, status, stdout, stderr] = await Promise.all([
    run.report,
    reader.read(4),
    out ? text(out) : '',
    err ? text(err) : '',
  ]);
  run.channel.destroy();
  if (failure)
    throw new InterlinkError('Unavailable', `${failure.what}: ${failure.reason}`, {
      code: 'runtime.system-call',
      details: { ...failure },
    });
  return { exitCode: waitStatus(status).exitCode, stdout, stderr };
}
