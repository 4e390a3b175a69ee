/**
 * `npm run parity [-- --case GLOB… --verbose --compare-only --update-floor]`: runs the pods of `test/parity` on a node of our own and compares what
 * was seen with what a real kubelet did. Prints the whole score and that of the subset which this version claims to meet; fails when one of
 * them is under `test/parity/floor.json`. The last line is `N passed, N failed, N skipped`.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { EVERYTHING, environment, missing } from '../test/e2e/support/environment.ts';
import { startStack } from '../test/e2e/support/stack.ts';

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
const actual = join(root, 'build/parity');
const floorFile = join(suite, 'floor.json');
const { values } = parseArgs({
  options: {
    case: { type: 'string', multiple: true, default: [] },
    verbose: { type: 'boolean', default: false },
    'compare-only': { type: 'boolean', default: false },
    'update-floor': { type: 'boolean', default: false },
    parallel: { type: 'string', default: '6' },
    locked: { type: 'boolean', default: false },
  },
});

if (!values.locked) {
  if (process.getuid?.() === 0 && !values['compare-only'])
    spawnSync('bash', [join(root, 'scripts/e2e/up.sh')], { stdio: 'inherit' });
  const reason = values['compare-only'] ? undefined : missing([...EVERYTHING]);
  if (reason !== undefined) {
    console.log(`parity: cannot run here: ${reason}\n0 passed, 0 failed, 2 skipped`);
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

if (!values['compare-only']) {
  if (cases.length === 0) rmSync(actual, { recursive: true, force: true });
  mkdirSync(actual, { recursive: true });
  await using stack = await startStack({ name: 'parity', identity: 'node' });
  const record = [
    'record.py',
    '--node',
    stack.nodeName,
    '--cases',
    'cases',
    '--out',
    actual,
    '--parallel',
    values.parallel,
    '--force',
  ];
  spawnSync('python3', [...record, ...cases], { cwd: suite, env, stdio: ['ignore', 'inherit', 'inherit'] });
}

function compare(...more: readonly string[]): string {
  const { stdout } = spawnSync(
    'python3',
    ['compare.py', 'expected', actual, '--allow', 'allow.json', ...cases, ...more],
    {
      cwd: suite,
      env,
      encoding: 'utf8',
      maxBuffer: 1 << 28,
      stdio: ['ignore', 'pipe', 'inherit'],
    },
  );
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

const text = compare(values.verbose ? '--verbose' : '--summary');
console.log(
  text
    .split('\n')
    .filter((line) => !/^(same: |parity: )/.test(line))
    .join('\n'),
);
const { results } = JSON.parse(compare('--json')) as { results: CaseResult[] };
const { cases: claimed } = JSON.parse(readFileSync(join(suite, 'subset.json'), 'utf8')) as { cases: string[] };
const whole = scoreOf(results);
const subset = scoreOf(results.filter((result) => claimed.includes(result.case)));
console.log(`parity: ${whole.cases} of ${whole.ofCases} cases (${whole.checks} of ${whole.ofChecks} checks)`);
console.log(
  `parity of the subset: ${subset.cases} of ${subset.ofCases} cases (${subset.checks} of ${subset.ofChecks} checks)`,
);

if (cases.length > 0) process.exit(0);
if (values['update-floor']) {
  const keep = ({ cases, checks }: Score): Score => ({ cases, checks });
  writeFileSync(floorFile, `${JSON.stringify({ whole: keep(whole), subset: keep(subset) }, null, 2)}\n`);
}
const floor = JSON.parse(existsSync(floorFile) ? readFileSync(floorFile, 'utf8') : '{}') as Partial<
  Record<'whole' | 'subset', Score>
>;
let failed = 0;
for (const [name, score] of Object.entries({ whole, subset })) {
  const least = floor[name as 'whole' | 'subset'] ?? { cases: 0, checks: 0 };
  if (score.cases >= least.cases && score.checks >= least.checks) continue;
  failed++;
  console.log(`parity: the score of the ${name} is under its floor of ${least.cases} cases and ${least.checks} checks`);
}
console.log(`${2 - failed} passed, ${failed} failed, 0 skipped`);
process.exit(failed > 0 ? 1 : 0);
