/** `npm test`: check, build, unit and command-line tests. The last line is `N passed, N failed, N skipped` over all suites. */
import { spawnSync } from 'node:child_process';
import { mkdirSync, rmSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { countResults, type TestCounts } from './test/count-results.ts';

const root = resolve(import.meta.dirname, '..');
const bin = join(root, 'node_modules', '.bin');
const reports = join(root, 'build', 'reports');
mkdirSync(reports, { recursive: true });

const totals = [
  runStep('check', 'node', 'scripts/check.ts'),
  runStep('build', 'node', 'scripts/build.ts'),
  runSuite('unit'),
  runSuite('cli'),
];
const sum = (key: keyof TestCounts): number => totals.reduce((total, counts) => total + counts[key], 0);
console.log(`${sum('passed')} passed, ${sum('failed')} failed, ${sum('skipped')} skipped`);
process.exitCode = sum('failed') === 0 ? 0 : 1;

/** A step is no test, but one that fails counts as a failure. */
function runStep(name: string, command: string, ...args: string[]): TestCounts {
  const status = run(name, command, args);
  return { passed: 0, failed: status === 0 ? 0 : 1, skipped: 0 };
}

function runSuite(project: string): TestCounts {
  const report = join(reports, `${project}.json`);
  rmSync(report, { force: true });
  const reporters = ['--reporter=default', '--reporter=json', `--outputFile.json=${report}`];
  const status = run(project, 'vitest', ['run', '--project', project, ...reporters]);
  return countResults(report, status);
}

function run(name: string, command: string, args: readonly string[]): number | null {
  const startedAt = performance.now();
  const { status } = spawnSync(join(bin, command), args, { cwd: root, stdio: 'inherit' });
  const seconds = ((performance.now() - startedAt) / 1_000).toFixed(1);
  console.log(`${name}: ${status === 0 ? 'ok' : 'failed'} (${seconds} s)`);
  return status;
}
