import { text } from 'node:stream/consumers';
import { InterlinkError } from '../base/errors.ts';
import type { SystemCall } from './namespace-program.ts';
import { spawnProgram } from './namespace-spawn.ts';

const KIBIBYTE = 1024;
const TOTAL = /^(\d+)\t/;

/**
 * Bytes that each directory takes on its disk, with all that is in it but other file systems, as `du` counts them. What changes meanwhile may be missed.
 *
 * @param join System calls that go where every file can be read.
 * @param directory As for `spawnProgram`.
 * @throws Unavailable when `du` says nothing of a directory
 */
export async function diskUsage(
  paths: readonly string[],
  join: readonly SystemCall[],
  directory: string,
): Promise<readonly number[]> {
  const run = await spawnProgram(
    {
      calls: [
        ...join,
        {
          call: 'execve',
          args: ['/usr/bin/du', { strings: ['du', '-skx', '--', ...paths] }, { strings: ['LC_ALL=C'] }],
          what: 'count what volumes hold',
        },
      ],
    },
    { directory, stdio: ['ignore', 'pipe', 'ignore'] },
  );
  const [output, failure] = await Promise.all([run.child.stdout ? text(run.child.stdout) : '', run.report, run.ended]);
  run.channel.destroy();
  if (failure)
    throw new InterlinkError('Unavailable', `${failure.what}: ${failure.reason}`, { code: 'runtime.disk-usage' });
  const totals = output.split('\n').flatMap((line) => {
    const [, kibibytes] = TOTAL.exec(line) ?? [];
    return kibibytes === undefined ? [] : [Number(kibibytes) * KIBIBYTE];
  });
  if (totals.length !== paths.length)
    throw new InterlinkError('Unavailable', `du counted ${totals.length} of ${paths.length} directories`, {
      code: 'runtime.disk-usage',
    });
  return totals;
}
