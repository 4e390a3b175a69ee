/**
 * `npm run test:e2e [-- FILTER…]`: brings up what `scripts/e2e/up.sh` can bring up here and runs `test/e2e` on it, one run at a time per machine.
 * What cannot be had is named, and its tests count as skipped. The last line is `N passed, N failed, N skipped`.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { countResults } from './test/count-results.ts';

const root = resolve(import.meta.dirname, '..');
const directory = process.env.INTERLINK_E2E_DIR ?? '/var/lib/interlink-e2e';

function run(program: string, args: readonly string[]): number {
  const { status, error } = spawnSync(program, args, { cwd: root, stdio: 'inherit' });
  if (error) console.error(`${program}: ${error.message}`);
  return status ?? 1;
}

function bringUp(): void {
  if (process.platform !== 'linux' || process.getuid?.() !== 0) {
    console.log('e2e: not root on Linux, so nothing is brought up');
    return;
  }
  run('bash', [join(root, 'scripts/e2e/up.sh')]);
}

bringUp();
if (!existsSync(join(root, 'dist/interlink')) && run(process.execPath, ['scripts/build.ts']) !== 0) process.exit(1);
const parts = join(directory, 'parts');
for (const part of existsSync(parts) ? readdirSync(parts) : []) {
  const state = readFileSync(join(parts, part), 'utf8').trim();
  if (state !== 'ok') console.log(`e2e: without ${part}: ${state}`);
}

const report = join(root, 'build/e2e.json');
mkdirSync(join(root, 'build'), { recursive: true });
rmSync(report, { force: true });
const vitest = [join(root, 'node_modules/vitest/vitest.mjs'), 'run', '--project', 'e2e'];
const reporters = ['--reporter=verbose', '--reporter=json', `--outputFile.json=${report}`];
const command = [process.execPath, ...vitest, ...reporters, ...process.argv.slice(2)];
// Two runs at once would measure each other.
const lock = join(directory, 'run.lock');
const status = existsSync(directory)
  ? run('flock', ['-w', '7200', lock, ...command])
  : run(command[0] ?? '', command.slice(1));
const counts = countResults(report, status);
console.log(`${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped`);
process.exit(counts.failed > 0 ? 1 : 0);
