import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import type { InterlinkError } from '../../../src/base/errors.ts';
import { type ConfigSources, loadConfig } from '../../../src/config/load-config.ts';
import type { Problem } from '../../../src/config/problem.ts';

const directory = mkdtempSync(join(tmpdir(), 'interlink-config-'));
afterAll(() => rmSync(directory, { recursive: true }));

const node = z.strictObject({
  name: z.string().min(1).describe('Name of the node.'),
  port: z.number().int().min(1).max(65_535).default(10_250),
  verbose: z.boolean().default(false),
  mode: z.enum(['fast', 'careful']).default('careful'),
  labels: z.record(z.string(), z.string()).default({}),
  taints: z.array(z.string()).default(['a', 'b']),
  rules: z.array(z.strictObject({ key: z.string(), weight: z.number().optional() })).default([]),
  site: z.strictObject({ url: z.string(), tokenFile: z.string().optional() }),
  kubelet: z.strictObject({ address: z.string().default('::') }).prefault({}),
});
const proxy = z.strictObject({ listen: z.string().default('unix:/run/x') });
const SITE = 'site: { url: "unix:/s" }';

let written = 0;
function file(text: string): string {
  const path = join(directory, `${++written}.yaml`);
  writeFileSync(path, text);
  return path;
}

function sources(text: string | undefined, rest: Partial<ConfigSources> = {}): ConfigSources {
  return {
    files: text === undefined ? [] : [{ path: file(text), required: true }],
    environment: {},
    knownSections: ['node', 'proxy', 'sidecar', 'token'],
    ...rest,
  };
}

const load = (text: string | undefined, rest?: Partial<ConfigSources>) => loadConfig({ node }, sources(text, rest));

async function problemsOf(text: string | undefined, rest?: Partial<ConfigSources>): Promise<readonly string[]> {
  const error = await load(text, rest).then(
    () => {
      throw new Error('was accepted');
    },
    (thrown: InterlinkError) => thrown,
  );
  expect(error.kind).toBe('Invalid');
  expect(error.code).toBe('config.invalid');
  const problems = error.details.problems as readonly Problem[];
  for (const { message } of problems) expect(error.message).toContain(message);
  return problems.map(({ origin, path, message }) =>
    [origin?.replace(/^.*\/\d+\.yaml/, 'FILE'), path, message].filter((part) => part).join(' | '),
  );
}

describe('sources', () => {
  it('win in the order flag, environment, later file, earlier file, default', async () => {
    const system = file(`node: { name: system, port: 1, mode: fast, kubelet: { address: a }, ${SITE} }`);
    const user = file('node: { name: user, port: 2, mode: fast }');
    const { values, originOf } = await loadConfig(
      { node },
      sources(undefined, {
        files: [
          { path: system, required: false },
          { path: user, required: false },
        ],
        environment: { INTERLINK_NODE_NAME: 'environment', INTERLINK_NODE_PORT: '3' },
        flags: new Map([['node.name', 'flag']]),
      }),
    );
    expect(values.node).toMatchObject({
      name: 'flag',
      port: 3,
      mode: 'fast',
      kubelet: { address: 'a' },
      verbose: false,
    });
    expect(originOf(['node', 'name'])).toBe('--name');
    expect(originOf(['node', 'port'])).toBe('INTERLINK_NODE_PORT');
    expect(originOf(['node', 'mode'])).toBe(`${user}:1:30`);
    expect(originOf(['node', 'site', 'url'])).toMatch(`${system}:1:`);
    expect(originOf(['node', 'verbose'])).toBe('default');
  });

  it('merge maps of two files key by key but replace lists and maps from the environment whole', async () => {
    const first = file(`node: { name: n, labels: { a: "1", b: "1" }, taints: [x, y], ${SITE} }`);
    const second = file('node: { labels: { b: "2" }, taints: [z] }');
    const files = [first, second].map((path) => ({ path, required: true }));
    const merged = await loadConfig({ node }, sources(undefined, { files }));
    expect(merged.values.node).toMatchObject({ labels: { a: '1', b: '2' }, taints: ['z'] });
    const environment = { INTERLINK_NODE_LABELS: 'c=3' };
    const replaced = await loadConfig({ node }, sources(undefined, { files, environment }));
    expect(replaced.values.node.labels).toEqual({ c: '3' });
    expect(replaced.originOf(['node', 'labels', 'a'])).toBe('INTERLINK_NODE_LABELS');
  });

  it('give a deeply frozen value', async () => {
    const { values } = await load(`node: { name: n, rules: [{ key: k }], ${SITE} }`);
    expect(Object.isFrozen(values.node.rules[0])).toBe(true);
    expect(() => Object.assign(values.node.site, { url: 'x' })).toThrow(TypeError);
  });

  it('take an empty file, a file of comments and keys without a value as nothing', async () => {
    const environment = { INTERLINK_NODE_NAME: 'n', INTERLINK_NODE_SITE_URL: 'u' };
    for (const text of ['', '# nothing\n', '---\n', 'node:\n', 'node:\n  labels:\n  kubelet:\n'])
      expect((await load(text, { environment })).values.node.name).toBe('n');
  });

  it('report a named file that does not exist and leave out an unnamed one', async () => {
    const files = [{ path: '/nonexistent/config.yaml', required: true }];
    expect(await problemsOf(undefined, { files })).toContain('/nonexistent/config.yaml | no such file');
    const missing = { files: [{ path: '/nonexistent/config.yaml', required: false }] };
    expect(await problemsOf(undefined, missing)).not.toContain('/nonexistent/config.yaml | no such file');
    expect(await problemsOf(undefined, { files: [{ path: directory, required: true }] })).toContain(
      `${directory} | is a directory`,
    );
  });
});

describe('environment and flags', () => {
  it.each([
    ['INTERLINK_NODE_VERBOSE', 'true', { verbose: true }],
    ['INTERLINK_NODE_VERBOSE', '0', { verbose: false }],
    ['INTERLINK_NODE_PORT', '99', { port: 99 }],
    ['INTERLINK_NODE_TAINTS', 'x, y', { taints: ['x', 'y'] }],
    ['INTERLINK_NODE_TAINTS', '["x,y"]', { taints: ['x,y'] }],
    ['INTERLINK_NODE_TAINTS', '', { taints: [] }],
    ['INTERLINK_NODE_LABELS', 'a=1,b=2=3', { labels: { a: '1', b: '2=3' } }],
    ['INTERLINK_NODE_LABELS', '{"a":"1"}', { labels: { a: '1' } }],
    ['INTERLINK_NODE_RULES', '[{"key":"k","weight":2}]', { rules: [{ key: 'k', weight: 2 }] }],
    ['INTERLINK_NODE_SITE_TOKEN_FILE', '/t', { site: { url: 'unix:/s', tokenFile: '/t' } }],
  ])('%s=%s becomes %j', async (name, text, expected) => {
    const { values } = await load(`node: { name: n, ${SITE} }`, { environment: { [name]: text } });
    expect(values.node).toMatchObject(expected);
  });

  it.each([
    ['INTERLINK_NODE_PORT', 'ten', 'INTERLINK_NODE_PORT | node.port | expected a number, got "ten"'],
    ['INTERLINK_NODE_PORT', '', 'INTERLINK_NODE_PORT | node.port | expected a number, got ""'],
    ['INTERLINK_NODE_VERBOSE', 'yes', 'INTERLINK_NODE_VERBOSE | node.verbose | expected true or false, got "yes"'],
    ['INTERLINK_NODE_LABELS', 'a', 'INTERLINK_NODE_LABELS | node.labels | expected a map, got "a"'],
    [
      'INTERLINK_NODE_NAEM',
      'x',
      'INTERLINK_NODE_NAEM | no such configuration variable; did you mean INTERLINK_NODE_NAME?',
    ],
  ])('%s=%s is a problem that names the variable', async (name, text, expected) => {
    expect(await problemsOf(`node: { name: n, ${SITE} }`, { environment: { [name]: text } })).toEqual([expected]);
  });

  it('report text that begins like JSON and is none', async () => {
    const environment = { INTERLINK_NODE_RULES: '[{"key"' };
    const [problem] = await problemsOf(`node: { name: n, ${SITE} }`, { environment });
    expect(problem).toMatch(/^INTERLINK_NODE_RULES \| node\.rules \| not JSON: /);
  });

  it('leave alone what Kubernetes sets for a Service called interlink-node, and other sections', async () => {
    const environment = {
      INTERLINK_NODE_SERVICE_HOST: '10.0.0.1',
      INTERLINK_NODE_SERVICE_PORT: '443',
      INTERLINK_NODE_PORT: 'tcp://10.0.0.1:443',
      INTERLINK_NODE_PORT_443_TCP: 'tcp://10.0.0.1:443',
      INTERLINK_NODE_PORT_443_TCP_ADDR: '10.0.0.1',
      INTERLINK_PROXY_WRONG: 'x',
      INTERLINK_VERSION: 'x',
    };
    expect((await load(`node: { name: n, ${SITE} }`, { environment })).values.node.port).toBe(10_250);
  });
});

describe('problems', () => {
  it('are all reported together with their places', async () => {
    const text = ['node:', '  name: 5', '  prot: 1', '  mode: carefull', '  site:', '    uri: x', 'proxi: {}', ''].join(
      '\n',
    );
    expect(await problemsOf(text, { environment: { INTERLINK_NODE_PORT: 'x' } })).toEqual([
      'FILE:7:1 | proxi | unknown section; did you mean proxy?',
      'FILE:2:3 | node.name | expected a string, got 5',
      'INTERLINK_NODE_PORT | node.port | expected a number, got "x"',
      'FILE:4:3 | node.mode | expected fast or careful, got "carefull"; did you mean careful?',
      'node.site.url | required but not set; expected a string; set it in the file, as INTERLINK_NODE_SITE_URL or with --site-url',
      'FILE:6:5 | node.site.uri | unknown key; did you mean url?',
      'FILE:3:3 | node.prot | unknown key; did you mean port?',
    ]);
  });

  it.each([
    ['node: [1]', ['FILE:1:1 | node | expected a map of keys']],
    ['just text', ['FILE:1:1 | expected sections (node:, proxy:, sidecar:, token:) at the top']],
    ['- a\n- b', ['FILE:1:1 | expected sections (node:, proxy:, sidecar:, token:) at the top']],
    ['node: { name: a, name: b }', ['FILE:1:18 | this key is written twice in the same map']],
    ['node: {}\n---\nnode: {}\n', ['a second document; the file must hold only one']],
    ['node: { name: "a }\n', ['not YAML: ']],
    ['node:\n\tname: x\n', ['not YAML: ']],
    ['node: { name: !secret x }', ['not YAML: ']],
    ['node: { rules: [{ key: k, wieght: 1 }] }', ['node.rules[0].wieght | unknown key; did you mean weight?']],
    ['node: { tokenFile: x }', ['node.tokenFile | unknown key; did you mean node.site.tokenFile?']],
    ['node: { "__proto__": { x: 1 } }', ['node.__proto__ | unknown key']],
    ['node: { port: 70000 }', ['node.port | too big: expected number to be <=65535, got 70000']],
  ])('%j is answered with its place', async (text, expected) => {
    const problems = await problemsOf(text);
    for (const part of expected) expect(problems.some((problem) => problem.includes(part))).toBe(true);
  });

  it('say how to set a value that is set nowhere', async () => {
    expect(await problemsOf(undefined)).toContain(
      'node.name | required but not set; expected a string; set it in the file, as INTERLINK_NODE_NAME or with --name',
    );
  });

  it('quote no value of a key that may hold a secret by mistake, and no unknown value', async () => {
    const problems = await problemsOf('node: { name: n, password: hunter2, site: { url: u, tokenFile: 123456 } }');
    expect(problems.join('\n')).not.toMatch(/hunter2|123456/);
  });

  it('take keys of maps that an object prototype has', async () => {
    const { values } = await load(`node: { name: n, labels: { constructor: x }, ${SITE} }`);
    expect(values.node.labels).toEqual({ constructor: 'x' });
  });

  it('hide a section without values when the caller asks for that, and only then', async () => {
    const schemas = { node, proxy };
    const loaded = await loadConfig(schemas, sources('proxy: { listen: x }'), { optional: true });
    expect(loaded.values).toEqual({ proxy: { listen: 'x' } });
    expect([loaded.isSet('node'), loaded.isSet('proxy')]).toEqual([false, true]);
    await expect(loadConfig(schemas, sources('proxy: { listen: x }'))).rejects.toThrow('node.name');
  });
});
