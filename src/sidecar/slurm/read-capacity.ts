import type { CommandResult } from '../../base/command.ts';
import type { Accelerator, SiteResources } from '../../contract/sidecar.ts';
import { failure, SEPARATOR } from './read-listing.ts';

/** Columns of `sinfo -N -O`, in order. @see sinfo(1) 22.05, --Format */
export const SINFO_COLUMNS = ['NodeList', 'StateLong', 'CPUs', 'Memory', 'Gres'] as const;

/** Nodes in these states (or not responding, marked by `*`) will run nothing new. @see sinfo(1) NODE STATE CODES */
const UNUSABLE =
  /\*|^(down|drain|draining|drained|fail|failing|inval|maint|unknown|future|reboot|perfctrs|power_down|blocked|no_respond)/;

/**
 * Sums the nodes that can run jobs, each once although it is in several partitions. GPUs are counted for each resource of `gpus` by its GRES
 * (`gpu` counts every type, `gpu:a100` one); of two resources with one GRES the first is offered.
 *
 * @throws Unavailable when sinfo failed or printed something else
 */
export function readCapacity(result: CommandResult, gpus: Readonly<Record<string, string>>): SiteResources {
  if (result.exitCode !== 0) throw failure('sinfo', result);
  const seen = new Set<string>();
  const gres = new Map<string, number>();
  let cpus = 0;
  let memoryMiB = 0;
  for (const line of result.stdout.split('\n')) {
    if (line.trim() === '') continue;
    const [name = '', state = '', cpuText = '', memoryText = '', gresText = ''] = line.split(SEPARATOR);
    if (!/^\d+$/.test(cpuText) || !/^\d+$/.test(memoryText)) throw failure('sinfo', result);
    if (seen.has(name) || UNUSABLE.test(state)) continue;
    seen.add(name);
    cpus += Number(cpuText);
    memoryMiB += Number(memoryText);
    for (const [type, count] of parseGres(gresText)) gres.set(type, (gres.get(type) ?? 0) + count);
  }
  const offered = new Set<string>();
  const accelerators: Accelerator[] = [];
  for (const [resourceType, type] of Object.entries(gpus)) {
    const count = [...gres].reduce(
      (sum, [name, n]) => (name === type || name.startsWith(`${type}:`) ? sum + n : sum),
      0,
    );
    if (count === 0 || offered.has(type)) continue;
    offered.add(type);
    accelerators.push({ resourceType, available: String(count) });
  }
  return { cpu: String(cpus), memory: `${memoryMiB}Mi`, ...(accelerators.length === 0 ? {} : { accelerators }) };
}

/** `gpu:a100:2(S:0-1),gpu:4,craynetwork:1` → [["gpu:a100", 2], ["gpu", 4], ["craynetwork", 1]]. */
function parseGres(text: string): readonly (readonly [string, number])[] {
  return [...text.matchAll(/([A-Za-z]\w*(?::[A-Za-z][\w.-]*)?):(\d+)(?:\([^)]*\))?/g)].map(
    ([, type = '', count = '0']) => [type, Number(count)] as const,
  );
}
