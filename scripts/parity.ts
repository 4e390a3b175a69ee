/**
 * `npm run parity [-- --backend slurm|local… --case GLOB… --verbose --compare-only --update-floor]`: runs the pods of `test/parity` on a node of our
 * own per back end, one back end after the other, and compares what was seen with what a real kubelet did. Prints for each back end the whole
 * score and that of the subset which this version claims to meet; fails when one of them is under `test/parity/floor.json`. The last line is
 * `N passed, N failed, N skipped`.
 */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { parseArgs } from 'node:util';
import { EVERYTHING, environment, missing } from '../test/e2e/support/environment.ts';
import { type Stack, startStack } from '../test/e2e/support/stack.ts';
import type { Site } from '../test/e2e/support/stack-config.ts';

interface CaseResult {
  readonly case: string;
  readonly result: 'same' | 'differs' | 'missing';
  readonly checks: number;
  readonly good: number;
}

interface Score {
  readonly cases: number;
  readonly checks: number;
}

const root = resolve(import.meta.dirname, '..');
const suite = join(root, 'test/parity');
const actualOf = (backend: Site): string => join(root, 'build/parity', backend);
const floorFile = join(suite, 'floor.json');
const { values } = parseArgs({
  options: {
    backend: { type: 'string', multiple: true, default: ['slurm', 'local'] },
    case: { type: 'string', multiple: true, default: [] },
    verbose: { type: 'boolean', default: false },
    'compare-only': { type: 'boolean', default: false },
    'update-floor': { type: 'boolean', default: false },
    parallel: { type: 'string', default: '6' },
    locked: { type: 'boolean', default: false },
  },
});

const BACKENDS: readonly Site[] = ['slurm', 'local'];
const unknown = values.backend.filter((name) => !BACKENDS.includes(name as Site));
if (unknown.length > 0) {
  console.error(`parity: no such back end: ${unknown.join(', ')}; there are ${BACKENDS.join(' and ')}`);
  process.exit(2);
}
const backends = BACKENDS.filter((name) => values.backend.includes(name));

if (!values.locked) {
  if (process.getuid?.() === 0 && !values['compare-only'])
    spawnSync('bash', [join(root, 'scripts/e2e/up.sh')], { stdio: 'inherit' });
  const reason = values['compare-only'] ? undefined : missing([...EVERYTHING]);
  if (reason !== undefined) {
    console.log(`parity: cannot run here: ${reason}\n0 passed, 0 failed, ${2 * backends.length} skipped`);
    process.exit(0);
  }
  mkdirSync(environment.directory, { recursive: true });
  const again = [process.execPath, import.meta.filename, '--locked', ...process.argv.slice(2)];
  const { status } = spawnSync('flock', ['-w', '7200', join(environment.directory, 'run.lock'), ...again], {
    stdio: 'inherit',
  });
  process.exit(status ?? 1);
}

const cases = values.case.flatMap((glob) => ['--case', glob]);
const env = {
  ...process.env,
  KUBECONFIG: environment.kubeconfig,
  PATH: `${join(environment.directory, 'kube/bin')}:${process.env.PATH}`,
};

/** Resolves when the recorder has ended; what it could not record counts as missing. */
async function record(stack: Stack): Promise<void> {
  const out = actualOf(stack.site);
  if (cases.length === 0) rmSync(out, { recursive: true, force: true });
  mkdirSync(out, { recursive: true });
  const node = ['--node', stack.nodeName, '--cases', 'cases', '--out', out, '--parallel', values.parallel, '--force'];
  const recorder = spawn('python3', ['record.py', ...node, ...cases], {
    cwd: suite,
    env,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const lines = createInterface({ input: recorder.stdout });
  lines.on('line', (line) => console.log(`${stack.site}: ${line}`));
  await once(lines, 'close');
}

if (!values['compare-only'])
  // One after the other: durations are compared too, and two recordings at once would stretch each other's.
  for (const site of backends) {
    await using stack = await startStack({
      name: site === 'slurm' ? 'parity' : `parity-${site}`,
      site,
      identity: 'node',
    });
    await record(stack);
  }

function compare(backend: Site, ...more: readonly string[]): string {
  const files = ['expected', actualOf(backend), '--allow', 'allow.json'];
  const { stdout } = spawnSync('python3', ['compare.py', ...files, ...cases, ...more], {
    cwd: suite,
    env,
    encoding: 'utf8',
    maxBuffer: 1 << 28,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  return stdout;
}

function scoreOf(results: readonly CaseResult[]): Score & { ofCases: number; ofChecks: number } {
  return {
    cases: results.filter((result) => result.result === 'same').length,
    ofCases: results.length,
    checks: results.reduce((sum, result) => sum + result.good, 0),
    ofChecks: results.reduce((sum, result) => sum + result.checks, 0),
  };
}

type Scores = Record<'whole' | 'subset', Score>;
const { cases: claimed } = JSON.parse(readFileSync(join(suite, 'subset.json'), 'utf8')) as { cases: string[] };
const scores: Partial<Record<Site, Scores>> = {};
for (const backend of backends) {
  const text = compare(backend, values.verbose ? '--verbose' : '--summary');
  for (const line of text.split('\n')) if (!/^(same: |parity: )/.test(line)) console.log(`${backend}: ${line}`);
  const { results } = JSON.parse(compare(backend, '--json')) as { results: CaseResult[] };
  const whole = scoreOf(results);
  const subset = scoreOf(results.filter((result) => claimed.includes(result.case)));
  for (const [what, score] of [
    [backend, whole],
    [`the subset on ${backend}`, subset],
  ] as const)
    console.log(
      `parity of ${what}: ${score.cases} of ${score.ofCases} cases (${score.checks} of ${score.ofChecks} checks)`,
    );
  const keep = ({ cases, checks }: Score): Score => ({ cases, checks });
  scores[backend] = { whole: keep(whole), subset: keep(subset) };
}

if (cases.length > 0) process.exit(0);
const floors = JSON.parse(existsSync(floorFile) ? readFileSync(floorFile, 'utf8') : '{}') as typeof scores;
if (values['update-floor']) {
  Object.assign(floors, scores);
  writeFileSync(floorFile, `${JSON.stringify(floors, null, 2)}\n`);
}
let failed = 0;
for (const backend of backends)
  for (const name of ['whole', 'subset'] as const) {
    const score = scores[backend]?.[name] ?? { cases: 0, checks: 0 };
    const least = floors[backend]?.[name] ?? { cases: 0, checks: 0 };
    if (score.cases >= least.cases && score.checks >= least.checks) continue;
    failed++;
    console.log(
      `parity: the score of ${name} on ${backend} is under its floor of ${least.cases} cases and ${least.checks} checks`,
    );
  }
console.log(`${2 * backends.length - failed} passed, ${failed} failed, 0 skipped`);
process.exit(failed > 0 ? 1 : 0);
