// node warm.cjs CHUNK_DIRECTORY CACHE_DIRECTORY: runs the commands that do nothing outside the process, loads every chunk, and writes the
// code caches, which then hold the functions that were really needed. Without CACHE_DIRECTORY: only checks that the caches are accepted.
'use strict';
const { readFileSync, writeFileSync } = require('node:fs');
const { join } = require('node:path');

const [, , directory, caches] = process.argv;
const { main, load, scripts } = require(join(directory, 'loader.cjs'));
const { commands, chunks } = JSON.parse(readFileSync(join(directory, 'warm.json'), 'utf8'));
// With an io of its own a command leaves the process alone; otherwise it would end it soon after.
const { stdin, stdout, stderr } = process;
const io = { stdin, stdout, stderr, env: {}, signal: new AbortController().signal };

(async () => {
  for (const argv of commands) {
    const code = await main(argv, io);
    if (code !== 0) throw new Error(`${argv.join(' ')} ended with ${code}`);
  }
  for (const name of chunks) load(`./${name}`);
  if (caches !== undefined)
    for (const [name, script] of scripts) writeFileSync(join(caches, `${name}.cache`), script.createCachedData());
  process.exit(0);
})().catch((error) => {
  console.error(error);
  process.exit(1);
});
