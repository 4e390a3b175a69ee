// Main script of the executable. The program lies in it as chunks (CommonJS, one asset each), each with a V8 code cache NAME.cache and a
// source map NAME.map.zst. A chunk is compiled when it is first required, so that `--version` pays for nothing else.
// Run by plain Node (only the build does that) it reads the same files from its own directory and refuses a stale cache.
'use strict';
const sea = require('node:sea');
const vm = require('node:vm');
const Module = require('node:module');

const isSea = sea.isSea();
const names = new Set(isSea ? sea.getAssetKeys() : require('node:fs').readdirSync(__dirname));
const read = isSea
  ? (name) => Buffer.from(sea.getRawAsset(name))
  : (name) => require('node:fs').readFileSync(require('node:path').join(__dirname, name));
const requireBuiltin = Module.createRequire(process.execPath);
const modules = new Map();
const scripts = new Map();

function load(id) {
  const name = id.slice(id.lastIndexOf('/') + 1);
  if (id[0] !== '.' || !names.has(name)) return requireBuiltin(id);
  const known = modules.get(name);
  if (known) return known.exports;
  const module = { exports: {} };
  modules.set(name, module);
  const cache = names.has(`${name}.cache`) ? { cachedData: read(`${name}.cache`) } : {};
  // The wrapper stands on a line of its own, numbered 0, so that lines and columns of the chunk are its own. Chunks are pure ASCII.
  const wrapped = `(function(exports,require,module,__filename,__dirname,__import_meta_url){\n${read(name).latin1Slice()}\n})`;
  const script = new vm.Script(wrapped, { filename: name, lineOffset: -1, ...cache });
  if (!isSea && script.cachedDataRejected) throw new Error(`the code cache of ${name} was rejected`);
  scripts.set(name, script);
  script.runInThisContext().call(module.exports, module.exports, load, module, name, '/', 'file:///interlink/main.js');
  return module.exports;
}

const maps = new Map();
function mapOf(name) {
  if (!maps.has(name)) {
    const text = require('node:zlib')
      .zstdDecompressSync(read(`${name}.map.zst`))
      .toString();
    maps.set(name, new Module.SourceMap(JSON.parse(text)));
  }
  return maps.get(name);
}

function renderFrame(frame) {
  const file = frame.getFileName();
  if (!file || !names.has(`${file}.map.zst`)) return String(frame);
  const origin = mapOf(file).findEntry(frame.getLineNumber() - 1, frame.getColumnNumber() - 1);
  if (!origin?.originalSource) return String(frame);
  const place = `${origin.originalSource}:${origin.originalLine + 1}:${origin.originalColumn + 1}`;
  const caller = frame.getFunctionName();
  return caller ? `${frame.isAsync() ? 'async ' : ''}${caller} (${place})` : place;
}

Error.prepareStackTrace = (error, frames) => {
  let head;
  try {
    head = Error.prototype.toString.call(error);
  } catch {
    head = 'Error';
  }
  const lines = [head];
  for (const frame of frames) {
    let text;
    try {
      text = renderFrame(frame);
    } catch {
      // A stack with a chunk's position is better than an exception while an exception is shown.
      text = String(frame);
    }
    lines.push(`    at ${text}`);
  }
  return lines.join('\n');
};

const { main } = load('./main.js');
if (isSea) {
  main(process.argv.slice(2)).then((code) => {
    process.exitCode = code;
  });
} else {
  module.exports = { main, load, scripts };
}
