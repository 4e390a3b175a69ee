/**
 * `npm run ci`: everything that must hold before a change is accepted, stage by stage. The output of a stage goes to `build/ci/STAGE.log` and is
 * shown when it fails. Prints the time by stage and, as the last line, the sum of all suites: `N passed, N failed, N skipped`.
 */
import { spawn } from 'node:child_process';
import { createWriteStream, mkdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';

interface Counts {
  passed: number;
  failed: number;
  skipped: number;
}

const root = resolve(import.meta.dirname, '..');
const logs = join(root, 'build/ci');
const STAGES: readonly (readonly [name: string, ...args: string[]])[] = [
  ['test', 'scripts/test.ts'],
  ['bench-start', 'scripts/bench.ts', 'start'],
  ['e2e', 'scripts/e2e.ts'],
  ['parity', 'scripts/parity.ts'],
];
const TAIL_LINES = 200;
// The logs are read as text.
const env = { ...process.env, NO_COLOR: '1' };
const COUNTS = /^(\d+) passed, (\d+) failed, (\d+) skipped$/gm;

async function run(name: string, args: readonly string[]): Promise<{ code: number; seconds: number; text: string }> {
  const file = join(logs, `${name}.log`);
  const log = createWriteStream(file);
  const from = performance.now();
  const child = spawn(process.execPath, args, { cwd: root, env, stdio: ['ignore', 'pipe', 'pipe'] });
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => log.write(chunk));
  const code = await new Promise<number>((settle) => {
    child.once('error', () => settle(1));
    child.once('close', (status) => settle(status ?? 1));
  });
  await new Promise<void>((settle) => log.end(settle));
  return { code, seconds: (performance.now() - from) / 1000, text: readFileSync(file, 'utf8') };
}

/** What the suite said in its last line; a stage without counts is one test. */
function countsOf(text: string, code: number): Counts {
  const last = [...text.matchAll(COUNTS)].at(-1);
  if (!last) return { passed: code === 0 ? 1 : 0, failed: code === 0 ? 0 : 1, skipped: 0 };
  const [passed = 0, failed = 0, skipped = 0] = last.slice(1).map(Number);
  return { passed, failed: code !== 0 && failed === 0 ? 1 : failed, skipped };
}

mkdirSync(logs, { recursive: true });
const total: Counts = { passed: 0, failed: 0, skipped: 0 };
const wanted = process.argv.slice(2);
let ok = true;
for (const [name, ...args] of STAGES) {
  if (wanted.length > 0 && !wanted.includes(name)) continue;
  const { code, seconds, text } = await run(name, args);
  const counts = countsOf(text, code);
  for (const key of ['passed', 'failed', 'skipped'] as const) total[key] += counts[key];
  ok &&= code === 0 && counts.failed === 0;
  console.log(
    `ci: ${name.padEnd(12)} ${seconds.toFixed(1).padStart(7)} s  ${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped`,
  );
  const told = text.split('\n');
  if (code !== 0) console.log(told.slice(-TAIL_LINES).join('\n'));
  // Figures and reasons that a reader of the result wants without opening the log.
  else
    for (const line of told)
      if (/^(parity|e2e: without|bare sbatch loop|latency-)/.test(line)) console.log(`    ${line}`);
}
console.log(`${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped`);
process.exit(ok ? 0 : 1);
