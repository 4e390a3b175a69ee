import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve, sep } from 'node:path';
import { describe, expect, it } from 'vitest';

const root = resolve(import.meta.dirname, '..');

/** Layer of each room: imports go to a lower layer only. */
const LAYERS: Readonly<Record<string, number>> = {
  base: 0,
  config: 1,
  http: 1,
  kube: 2,
  oauth: 2,
  contract: 3,
  runner: 4,
  sidecar: 4,
  node: 4,
  proxy: 4,
  conformance: 5,
  cli: 6,
};

/** What only some files may touch. A file stands here with the reason why the rule does not hold for it. */
const FORBIDDEN: readonly {
  readonly what: string;
  readonly pattern: RegExp;
  readonly instead: string;
  readonly rooms: readonly string[];
  readonly allowed: Readonly<Record<string, string>>;
}[] = [
  {
    what: 'process.env, process.argv, process.exit',
    pattern: /\bprocess\.(env|argv|exit)\b/,
    instead: 'let src/cli pass the value in',
    rooms: ['cli'],
    allowed: {},
  },
  {
    what: 'process.exit outside shutdown',
    pattern: /\bprocess\.exit\b(?!Code)/,
    instead: 'return an exit code',
    rooms: [],
    allowed: {},
  },
  {
    what: 'the wall clock',
    pattern: /\bDate\.now\(|\bnew Date\(\s*\)|\bperformance\.now\(/,
    instead: 'take a Clock (src/base/clock.ts)',
    rooms: ['base', 'cli'],
    allowed: {},
  },
  {
    what: 'timers',
    pattern: /(?<![.\w])(setTimeout|setInterval)\(|['"]node:timers/,
    instead: 'take a Clock (src/base/clock.ts)',
    rooms: ['base', 'cli'],
    allowed: {},
  },
  {
    what: 'packages loaded by a dynamic import',
    pattern: /\bimport\(\s*['"](?!\.|node:)/,
    instead:
      'import it at the top of a file of ours and load that file; the bundle gives a CommonJS package no named exports otherwise',
    rooms: [],
    allowed: {
      'src/runner/dial-channel.ts': 'ws has an ES module; a job without a channel does not pay for it',
    },
  },
];

const VAGUE_WORDS = /(^|-)(utils?|helpers?|common|manager|impl)(-|\.|$)/;
const QUESTION_LINES = 300;
const MAX_LINES = 500;

/** Files over 300 lines, with the reason. */
const LONG_FILES: Readonly<Record<string, string>> = {
  'src/sidecar/batch/engine.ts':
    'all of Sidecar and of ChannelHost in one place; the work is in submitter, poller, stopper and judge beside it',
};

interface SourceFile {
  /** From the root of the repository, with `/`. */
  readonly path: string;
  readonly room: string;
  readonly text: string;
  /** Without comments and the contents of strings that span lines. */
  readonly code: string;
}

const files = readSources(join(root, 'src'));

describe('rooms', () => {
  it('stand in the layer table', () => {
    const rooms = readdirSync(join(root, 'src'), { withFileTypes: true }).filter((entry) => entry.isDirectory());
    expect(rooms.map((room) => room.name).filter((name) => !(name in LAYERS))).toEqual([]);
  });

  it('have a README of 5 to 80 lines once they hold code', () => {
    const missing = [...new Set(files.map((file) => file.room))].filter((room) => {
      const readme = join(root, 'src', room, 'README.md');
      const lines = existsSync(readme) ? readFileSync(readme, 'utf8').split('\n').length : 0;
      return lines < 5 || lines > 80;
    });
    expect(missing).toEqual([]);
  });

  it('import lower layers only, types included', () => {
    const wrong = files.flatMap((file) =>
      importsOf(file)
        .map((target) => ({ target, room: roomOf(target) }))
        .filter(({ room }) => room !== undefined && room !== file.room)
        .filter(({ room }) => (LAYERS[room ?? ''] ?? 99) >= (LAYERS[file.room] ?? -1))
        .map(({ target }) => `${file.path} imports ${target}`),
    );
    expect(wrong).toEqual([]);
  });

  it('are entered through .ts files that exist', () => {
    const wrong = files.flatMap((file) =>
      importsOf(file)
        .filter((target) => !existsSync(join(root, target)))
        .map((target) => `${file.path} imports ${target}`),
    );
    expect(wrong).toEqual([]);
  });
});

describe('files', () => {
  it('are no barrels', () => {
    const barrels = files.filter(({ code, path }) => {
      const statements = code.split('\n').filter((line) => line.trim() !== '');
      const name = path.split('/').at(-1);
      return (
        name === 'index.ts' || (statements.length > 0 && statements.every((line) => /^export .* from /.test(line)))
      );
    });
    expect(barrels.map(({ path }) => path)).toEqual([]);
  });

  it(`have at most ${MAX_LINES} lines, and a written reason beyond ${QUESTION_LINES}`, () => {
    const long = files
      .map(({ path, text }) => ({ path, lines: text.trimEnd().split('\n').length }))
      .filter(({ path, lines }) => lines > MAX_LINES || (lines > QUESTION_LINES && !(path in LONG_FILES)))
      .map(({ path, lines }) => `${path}: ${lines}`);
    expect(long).toEqual([]);
  });

  it('have names in kebab-case that say what they hold', () => {
    const vague = files
      .map(({ path }) => path)
      .filter((path) => {
        const name = path.split('/').at(-1) ?? '';
        return VAGUE_WORDS.test(name) || !/^[a-z0-9]+(-[a-z0-9]+)*\.ts$/.test(name);
      });
    expect(vague).toEqual([]);
  });

  it('leave no work for later in the code', () => {
    expect(files.filter(({ text }) => /\b(TODO|FIXME|XXX)\b/.test(text)).map(({ path }) => path)).toEqual([]);
  });

  it('document every export', () => {
    const bare = files.flatMap(({ path, text }) => undocumentedExports(text).map((name) => `${path}: ${name}`));
    expect(bare).toEqual([]);
  });
});

describe.each(FORBIDDEN)('$what', ({ pattern, instead, rooms, allowed, what }) => {
  it(`are used only where it is allowed; elsewhere: ${instead}`, () => {
    const shutdownOnly = what === 'process.exit outside shutdown';
    const wrong = files
      .filter(({ room, path }) => !(rooms.includes(room) || path in allowed))
      .filter(({ path }) => !(shutdownOnly && path === 'src/cli/shutdown.ts'))
      .flatMap(({ path, code }) =>
        code.split('\n').flatMap((line, index) => (pattern.test(line) ? [`${path}:${index + 1}: ${line.trim()}`] : [])),
      );
    expect(wrong).toEqual([]);
  });

  it('have no exception that is no longer needed', () => {
    const stale = Object.keys(allowed).filter((path) => {
      const file = files.find((candidate) => candidate.path === path);
      return !file || !pattern.test(file.code);
    });
    expect(stale).toEqual([]);
  });
});

function readSources(directory: string): SourceFile[] {
  return readdirSync(directory, { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith('.ts'))
    .map((entry) => {
      const path = relative(root, join(entry.parentPath, entry.name)).split(sep).join('/');
      const text = readFileSync(join(root, path), 'utf8');
      return { path, room: roomOf(path) ?? '', text, code: withoutComments(text) };
    })
    .filter(({ path }) => path.split('/').length > 2);
}

function roomOf(path: string): string | undefined {
  return /^src\/([^/]+)\//.exec(path)?.[1];
}

/** Comments become blanks, so that line numbers stay right. */
function withoutComments(text: string): string {
  return text
    .replaceAll(/\/\*[\s\S]*?\*\//g, (comment) => comment.replaceAll(/[^\n]/g, ' '))
    .replaceAll(/(^|[\s;{(,])\/\/[^\n]*/g, '$1');
}

/** Relative imports, static, dynamic and of types, as paths from the root. */
function importsOf({ path, code }: SourceFile): string[] {
  const specifiers = [...code.matchAll(/\b(?:from|import)\s*\(?\s*['"](\.[^'"]*)['"]/g)].map((match) => match[1] ?? '');
  return specifiers.map((specifier) =>
    relative(root, resolve(root, dirname(path), specifier))
      .split(sep)
      .join('/'),
  );
}

/**
 * Names that are exported without a docstring right above. Further signatures of an overload share the first one's; an interface called after its
 * function or class (`…Options`, `…Deps`) is explained there and by its members.
 */
function undocumentedExports(text: string): string[] {
  const lines = text.split('\n');
  const bare = new Set<string>();
  const documented = new Set<string>();
  for (const [index, line] of lines.entries()) {
    const name =
      /^export (?:declare )?(?:abstract )?(?:async )?(?:function\*?|class|const|let|interface|type) (\w+)/.exec(
        line,
      )?.[1];
    if (name === undefined || /^export interface \w+(Options|Deps)[ <]/.test(line)) continue;
    if (/\*\/\s*$/.test(lines[index - 1] ?? '')) documented.add(name);
    else if (!documented.has(name)) bare.add(name);
  }
  return [...bare].filter((name) => !documented.has(name));
}
