import { writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { constants, zstdCompressSync } from 'node:zlib';
import { build, transform } from 'esbuild';
import type { BuildFacts } from './build-facts.ts';

const TARGET = 'node24';
/** Node 24 has it; esbuild does not know that yet. */
const NATIVE = { using: true };

/**
 * Writes the program into `directory` as CommonJS chunks `*.js` with source maps `*.js.map.zst`. `main.js` is `entry`, which exports `main`; every
 * `await import()` of the sources begins a chunk that is loaded when it is reached. @returns the chunks that such an import names; the others are only parts of them and must not be loaded by themselves.
 */
export async function bundle(
  root: string,
  entry: string,
  directory: string,
  facts: BuildFacts,
): Promise<readonly string[]> {
  const result = await build({
    absWorkingDir: root,
    entryPoints: { main: entry },
    outdir: 'out',
    bundle: true,
    write: false,
    metafile: true,
    platform: 'node',
    target: TARGET,
    // CommonJS cannot be split, so the split is made in ESM and each chunk is turned into CommonJS afterwards.
    format: 'esm',
    splitting: true,
    chunkNames: '[name]-[hash]',
    minify: true,
    keepNames: true,
    supported: NATIVE,
    legalComments: 'none',
    sourcemap: 'external',
    mainFields: ['module', 'main'],
    define: { __INTERLINK_BUILD__: JSON.stringify(facts), 'import.meta.url': '__import_meta_url' },
    logLevel: 'warning',
  });
  const outputs = new Map(result.outputFiles.map((file) => [file.path, file.text]));
  for (const [path, code] of outputs) {
    if (path.endsWith('.map')) continue;
    const name = basename(path);
    await writeChunk(directory, name, code, outputs.get(`${path}.map`) ?? '');
  }
  return Object.entries(result.metafile.outputs)
    .filter(([, output]) => output.entryPoint !== undefined)
    .map(([path]) => basename(path));
}

async function writeChunk(directory: string, name: string, code: string, map: string): Promise<void> {
  const inlineMap = Buffer.from(map).toString('base64');
  const chunk = await transform(`${code}\n//# sourceMappingURL=data:application/json;base64,${inlineMap}`, {
    format: 'cjs',
    platform: 'node',
    target: TARGET,
    minify: true,
    legalComments: 'none',
    sourcemap: 'external',
    sourcefile: name,
    // Node shows the whole line of an error that nobody caught.
    lineLimit: 200,
    supported: { ...NATIVE, 'dynamic-import': false },
  });
  if (!/^[\0-\x7f]*$/.test(chunk.code)) throw new Error(`${name} is not pure ASCII; the loader reads chunks as latin1`);
  await writeFile(join(directory, name), chunk.code);
  await writeFile(join(directory, `${name}.map.zst`), compress(shrinkMap(chunk.map)));
}

/** Only what a stack trace needs: positions and paths from the root of the repository. */
function shrinkMap(text: string): string {
  const map = JSON.parse(text) as { sources: string[]; sourcesContent?: string[]; names: string[] };
  delete map.sourcesContent;
  map.names = [];
  map.sources = map.sources.map((source) => source.replace(/^(\.\.\/)+/, ''));
  return JSON.stringify(map);
}

function compress(text: string): Buffer {
  return zstdCompressSync(text, { params: { [constants.ZSTD_c_compressionLevel]: 19 } });
}
