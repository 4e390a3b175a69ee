import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { buildExecutable } from '../build/executable.ts';
import { hostTarget } from '../build/targets.ts';

const WARM_UPS = 3;
const RUNS = 31;
const LIMIT = 1.4;

interface Sample {
  readonly milliseconds: number;
  readonly mebibytes: number;
}

/**
 * `npm run bench -- start`: time and peak memory of `dist/interlink --version` against an empty single executable made in the same way, measured in
 * turns. @returns whether both ratios are within the limit.
 */
export async function bench(root: string): Promise<boolean> {
  const interlink = join(root, 'dist', 'interlink');
  if (!existsSync(interlink)) throw new Error('dist/interlink does not exist; run npm run build first');
  mkdirSync(join(root, 'build'), { recursive: true });
  const work = mkdtempSync(join(root, 'build', 'bench-start-'));
  try {
    const empty = await buildEmpty(root, work);
    const commands = { empty: [empty], interlink: [interlink, '--version'] } as const;
    dropFromPageCache(empty);
    dropFromPageCache(interlink);
    const samples: Record<keyof typeof commands, Sample[]> = { empty: [], interlink: [] };
    for (let run = -WARM_UPS; run < RUNS; run++)
      for (const name of ['empty', 'interlink'] as const) {
        const sample = measure(commands[name]);
        if (run >= 0) samples[name].push(sample);
      }
    return report(samples.empty, samples.interlink);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

async function buildEmpty(root: string, work: string): Promise<string> {
  writeFileSync(join(work, 'empty.cjs'), '');
  const output = join(work, 'empty');
  await buildExecutable({ root, target: hostTarget(), workDirectory: work, main: 'empty.cjs', assets: {}, output });
  return output;
}

/** A file that was just written lies in the page cache in large pieces that are mapped whole: tens of MiB too much. */
function dropFromPageCache(file: string): void {
  execFileSync('sync', ['-f', file]);
  execFileSync('dd', [`if=${file}`, 'iflag=nocache', 'count=0', 'status=none']);
}

function measure(command: readonly string[]): Sample {
  const text = execFileSync('perl', [join(import.meta.dirname, 'measure.pl'), ...command], { encoding: 'utf8' });
  const [seconds, kibibytes, exitCode] = text.trim().split(' ').map(Number);
  if (exitCode !== 0 || seconds === undefined || kibibytes === undefined)
    throw new Error(`${command.join(' ')} ended with ${exitCode}`);
  return { milliseconds: seconds * 1_000, mebibytes: kibibytes / 1_024 };
}

function report(empty: readonly Sample[], interlink: readonly Sample[]): boolean {
  const lines = (['milliseconds', 'mebibytes'] as const).map((unit) => {
    const base = quartiles(empty.map((sample) => sample[unit]));
    const ours = quartiles(interlink.map((sample) => sample[unit]));
    const ratio = ours.median / base.median;
    const verdict = ratio <= LIMIT ? 'ok' : 'TOO MUCH';
    console.log(
      `${unit.padEnd(12)}  empty ${render(base)}   interlink --version ${render(ours)}   ratio ${ratio.toFixed(2)} (limit ${LIMIT}) ${verdict}`,
    );
    return ratio <= LIMIT;
  });
  return lines.every(Boolean);
}

function quartiles(values: readonly number[]): { min: number; median: number; max: number } {
  const sorted = values.toSorted((a, b) => a - b);
  const at = (part: number): number => sorted[Math.round(part * (sorted.length - 1))] ?? Number.NaN;
  return { min: at(0), median: at(0.5), max: at(1) };
}

function render({ min, median, max }: ReturnType<typeof quartiles>): string {
  return `${median.toFixed(1)} (${min.toFixed(1)}–${max.toFixed(1)})`;
}
