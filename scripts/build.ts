/** `npm run build [-- --target NAME]`: makes `dist/interlink` (host) or `dist/interlink-NAME` from the sources. */
import { statSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { readBuildFacts } from './build/build-facts.ts';
import { buildProgram } from './build/program.ts';
import { hostTarget, TARGETS } from './build/targets.ts';

const root = resolve(import.meta.dirname, '..');
const { values } = parseArgs({ options: { target: { type: 'string' } } });
const host = hostTarget();
const target = values.target === undefined ? host : TARGETS.find((candidate) => candidate.name === values.target);
if (!target)
  throw new Error(`unknown target ${values.target}; known: ${TARGETS.map((known) => known.name).join(', ')}`);

const startedAt = performance.now();
const output = join(root, 'dist', target === host ? 'interlink' : `interlink-${target.name}`);
await buildProgram({ root, entry: 'src/cli/main.ts', target, output });
const { version, commit } = readBuildFacts(root);
const megabytes = (statSync(output).size / 1e6).toFixed(1);
const seconds = ((performance.now() - startedAt) / 1_000).toFixed(1);
console.log(`${output}: ${version} (${commit}), ${target.name}, ${megabytes} MB, ${seconds} s`);
