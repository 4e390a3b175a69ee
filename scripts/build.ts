/** `npm run build [-- --target NAME]`: makes `dist/interlink` (host) or `dist/interlink-NAME` from the sources. */
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { transformSync } from 'esbuild';
import { readBuildFacts } from './build/build-facts.ts';
import { bundle } from './build/bundle.ts';
import { writeCodeCaches } from './build/code-cache.ts';
import { buildExecutable } from './build/executable.ts';
import { hostTarget, TARGETS } from './build/targets.ts';

const root = resolve(import.meta.dirname, '..');
const { values } = parseArgs({ options: { target: { type: 'string' } } });
const host = hostTarget();
const target = values.target === undefined ? host : TARGETS.find((candidate) => candidate.name === values.target);
if (!target)
  throw new Error(`unknown target ${values.target}; known: ${TARGETS.map((known) => known.name).join(', ')}`);

const startedAt = performance.now();
mkdirSync(join(root, 'build'), { recursive: true });
const work = mkdtempSync(join(root, 'build', 'executable-'));
try {
  const chunks = join(work, 'chunks');
  mkdirSync(chunks);
  const facts = readBuildFacts(root);
  await bundle(root, chunks, facts);
  const loader = transformSync(readFileSync(join(root, 'scripts/build/loader.cjs'), 'utf8'), {
    minify: true,
    platform: 'node',
    target: 'node24',
  });
  writeFileSync(join(chunks, 'loader.cjs'), loader.code);
  // A code cache holds for one version of V8 on one architecture, so only the host's own can be made here.
  if (target === host) {
    const node = join(root, 'node_modules', target.nodePackage, target.nodeBinary);
    writeCodeCaches(node, chunks, join(root, 'scripts/build/warm.cjs'));
  }
  const output = join(root, 'dist', target === host ? 'interlink' : `interlink-${target.name}`);
  const names = readdirSync(chunks).filter((name) => /\.js(\.cache|\.map\.zst)?$/.test(name));
  await buildExecutable({
    root,
    target,
    workDirectory: chunks,
    main: 'loader.cjs',
    assets: Object.fromEntries(names.map((name) => [name, join(chunks, name)])),
    output,
  });
  const megabytes = (statSync(output).size / 1e6).toFixed(1);
  const seconds = ((performance.now() - startedAt) / 1000).toFixed(1);
  console.log(`${output}: ${facts.version} (${facts.commit}), ${target.name}, ${megabytes} MB, ${seconds} s`);
} finally {
  rmSync(work, { recursive: true, force: true });
}
