import { InterlinkError } from '../base/errors.ts';
import type { SystemCall } from './namespace-program.ts';
import { type SpawnProgramOptions, spawnProgram } from './namespace-spawn.ts';

/**
 * Makes the system calls in a process of their own and waits for its end.
 * @throws Unavailable naming the step and the kernel's error.
 */
export async function runSystemCalls(calls: readonly SystemCall[], options: SpawnProgramOptions): Promise<void> {
  const run = await spawnProgram({ calls }, options);
  const [failure, code] = await Promise.all([run.report, run.ended]);
  run.channel.destroy();
  if (failure)
    throw new InterlinkError('Unavailable', `${failure.what}: ${failure.reason}`, {
      code: 'runtime.system-call',
      details: { ...failure },
    });
  if (code !== 0)
    throw new InterlinkError('Unavailable', `${calls.at(-1)?.what ?? 'program'}: ended with ${code ?? 'a signal'}`, {
      code: 'runtime.system-call',
    });
}
