import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { transformSync } from 'esbuild';
import type { BuildFacts } from './build-facts.ts';
import { bundle } from './bundle.ts';
import { writeCodeCaches } from './code-cache.ts';
import { buildExecutable } from './executable.ts';
import { hostTarget, type Target } from './targets.ts';

export interface ProgramOptions {
  readonly root: string;
  /** File that exports `main(argv): Promise<number>`, from the root. */
  readonly entry: string;
  readonly target: Target;
  readonly facts: BuildFacts;
  readonly output: string;
}

/** Makes one executable from sources: chunks, source maps, code caches (for the host's own platform) and Node, in one file. */
export async function buildProgram({ root, entry, target, facts, output }: ProgramOptions): Promise<void> {
  mkdirSync(join(root, 'build'), { recursive: true });
  const work = mkdtempSync(join(root, 'build', 'executable-'));
  try {
    const entryChunks = await bundle(root, entry, work, facts);
    const loader = readFileSync(join(root, 'scripts/build/loader.cjs'), 'utf8');
    const small = transformSync(loader, { minify: true, platform: 'node', target: 'node24' });
    writeFileSync(join(work, 'loader.cjs'), small.code);
    // A code cache holds for one version of V8 on one architecture, so only the host's own can be made here.
    if (target.name === hostTarget().name) {
      const node = join(root, 'node_modules', target.nodePackage, target.nodeBinary);
      writeCodeCaches(node, work, join(root, 'scripts/build/warm.cjs'), entryChunks);
    }
    const names = readdirSync(work).filter((name) => /\.js(\.cache|\.map\.zst)?$/.test(name));
    const assets = Object.fromEntries(names.map((name) => [name, join(work, name)]));
    await buildExecutable({ root, target, workDirectory: work, main: 'loader.cjs', assets, output });
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}
