import { setFlagsFromString } from 'node:v8';
import { systemClock } from '../base/clock.ts';
import { InterlinkError } from '../base/errors.ts';
import { createRuntime } from '../runner/create-runtime.ts';
import { runJob } from '../runner/run-job.ts';

/**
 * `interlink runner JOBDIR`: what the batch script of every job executes. Not in any help. Resolves with the exit code of the pod.
 * @throws Invalid for another command line, and as `runJob`.
 */
export async function runner(args: readonly string[]): Promise<number> {
  const [directory, ...rest] = args;
  if (directory === undefined || directory.startsWith('-') || rest.length > 0)
    throw new InterlinkError('Invalid', 'usage: interlink runner JOBDIR', { code: 'cli.usage' });
  return runJob(directory, {
    clock: systemClock,
    createRuntime: async (settings, context) => {
      const runtime = await createRuntime(settings, context);
      doWithoutOptimizers();
      return runtime;
    },
    environment: Object.fromEntries(
      Object.entries(process.env).filter((entry): entry is [string, string] => entry[1] !== undefined),
    ),
    onTerminate(listener) {
      process.on('SIGTERM', listener);
      return () => process.off('SIGTERM', listener);
    },
  });
}

/**
 * The runner mostly waits. Its few hot loops are built-ins, and V8's optimizing compilers cost a job 9 MiB for nothing. Code caches are bound to V8's flags: what
 * is loaded after their change is compiled anew, so this comes once the code of the runtime is there.
 */
function doWithoutOptimizers(): void {
  for (const flag of ['--no-opt', '--no-maglev']) setFlagsFromString(flag);
}
