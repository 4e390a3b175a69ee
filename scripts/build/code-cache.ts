import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** Offset of V8's flag hash in a code cache (magic, version hash, source hash, flag hash). */
const FLAG_HASH_OFFSET = 12;

const WARM_CONFIG = 'node: { name: warm, site: { url: unix:/warm } }\n';
/** Commands that are run so that the caches hold the functions that they need. They must do nothing outside the process. */
const WARM_COMMANDS: readonly (readonly string[])[] = [
  ['--version'],
  ['version', '-o', 'json'],
  ['--help'],
  ['vk', 'start', '--help'],
  ['config', 'view', '--show-origin', '-c', 'warm.yaml'],
];

/** No random seed, no threads, and room enough that nothing is ever collected: when that happens depends on time. */
const REPEATABLE = ['--hash-seed=42', '--predictable', '--min-semi-space-size=256', '--max-semi-space-size=256'];

/**
 * Writes `NAME.js.cache` beside each chunk in `directory`, made by `node`, which must be the very version of the target; `entryChunks` are
 * loaded for it. What V8 writes depends on a seed and on time unless it is told otherwise; the flags for that are hashed into the caches, so
 * they get the flag hash of a usual run afterwards.
 */
export function writeCodeCaches(node: string, directory: string, warm: string, entryChunks: readonly string[]): void {
  const run = (flags: readonly string[], args: readonly string[]): string =>
    execFileSync(node, [...flags, ...args], {
      cwd: directory,
      encoding: 'utf8',
      env: { PATH: '/nonexistent', HOME: '/nonexistent', TZ: 'UTC' },
      stdio: ['ignore', 'pipe', 'inherit'],
      maxBuffer: 64 * 1024 * 1024,
    });
  const flagHash = run([], ['-p', 'new (require("node:vm").Script)("0").createCachedData().readUInt32LE(12)']);
  const caches = join(directory, 'caches');
  mkdirSync(caches);
  writeFileSync(join(directory, 'warm.json'), JSON.stringify({ commands: WARM_COMMANDS, chunks: entryChunks }));
  writeFileSync(join(directory, 'warm.yaml'), WARM_CONFIG);
  run([...REPEATABLE, '--no-flush-bytecode'], [warm, directory, caches]);
  const names = readdirSync(caches);
  const missing = ['main.js', ...entryChunks].filter((name) => !names.includes(`${name}.cache`));
  if (missing.length > 0) throw new Error(`no code cache was written for ${missing.join(', ')}`);
  for (const name of names) {
    const cache = readFileSync(join(caches, name));
    cache.writeUInt32LE(Number(flagHash), FLAG_HASH_OFFSET);
    writeFileSync(join(directory, name), cache);
  }
  // Once more with the flags of the executable: the loader fails when a cache is rejected.
  run(['--max-semi-space-size=4'], [warm, directory]);
}
