/** `npm run build`: makes `dist/interlink` for this machine from the sources. */
import { statSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { readBuildFacts } from './build/build-facts.ts';
import { buildProgram } from './build/program.ts';
import { hostTarget } from './build/targets.ts';

const root = resolve(import.meta.dirname, '..');
const target = hostTarget();
const startedAt = performance.now();
const output = join(root, 'dist', 'interlink');
const facts = readBuildFacts(root);
await buildProgram({ root, entry: 'src/cli/main.ts', target, facts, output });
const megabytes = (statSync(output).size / 1e6).toFixed(1);
const seconds = ((performance.now() - startedAt) / 1_000).toFixed(1);
console.log(`${output}: ${facts.version} (${facts.commit}), ${target.name}, ${megabytes} MB, ${seconds} s`);
