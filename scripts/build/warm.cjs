// node warm.cjs CHUNK_DIRECTORY CACHE_DIRECTORY: runs the commands that do nothing outside the process, loads every other chunk, and writes the
// code caches, which then hold the functions that were really needed. Without CACHE_DIRECTORY: only checks that the caches are accepted.
'use strict';
const { readFileSync, writeFileSync } = require('node:fs');
const { join } = require('node:path');

const [, , chunks, caches] = process.argv;
const { main, load, names, scripts } = require(join(chunks, 'loader.cjs'));
const commands = JSON.parse(readFileSync(join(chunks, 'warm.json'), 'utf8'));
const end = process.exit;

(async () => {
  for (const argv of commands) await main(argv);
  for (const name of [...names].sort()) if (name.endsWith('.js')) load(`./${name}`);
  if (caches !== undefined)
    for (const [name, script] of scripts) writeFileSync(join(caches, `${name}.cache`), script.createCachedData());
  end(0);
})().catch((error) => {
  console.error(error);
  end(1);
});
