/** `npm run check`: types, lint and format, architecture. Runs all three and exits 1 when one of them finds something. */
import { spawnSync } from 'node:child_process';
import { join, resolve } from 'node:path';

const root = resolve(import.meta.dirname, '..');
const STEPS: readonly (readonly [name: string, command: string, ...args: string[]])[] = [
  ['types', 'tsc', '--noEmit', '-p', '.'],
  ['lint and format', 'biome', 'check', '.'],
  ['architecture', 'vitest', 'run', '--project', 'unit', 'test/architecture.test.ts'],
];

const failed = STEPS.filter(([name, command, ...args]) => {
  console.log(`check: ${name}`);
  const { status } = spawnSync(join(root, 'node_modules', '.bin', command), args, { cwd: root, stdio: 'inherit' });
  return status !== 0;
}).map(([name]) => name);
console.log(failed.length === 0 ? 'check: ok' : `check: failed: ${failed.join(', ')}`);
process.exitCode = failed.length === 0 ? 0 : 1;
