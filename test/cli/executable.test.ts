import { execFile, execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { INTERLINK, interlink } from './interlink.ts';

const root = resolve(import.meta.dirname, '../..');
const directory = mkdtempSync(join(tmpdir(), 'interlink-executable-'));
afterAll(() => rmSync(directory, { recursive: true }));

function file(name: string, text: string): string {
  const path = join(directory, name);
  writeFileSync(path, text);
  return path;
}

describe('dist/interlink', () => {
  it('says its version and commit', async () => {
    const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string };
    expect(await interlink(['--version'])).toEqual({ code: 0, out: `interlink ${version}\n`, err: '' });
    const { out } = await interlink(['version', '-o', 'json']);
    expect(JSON.parse(out)).toMatchObject({ version, commit: expect.not.stringMatching(/^source$/) });
  });

  it('needs no Node, no home and no environment', async () => {
    const copy = join(directory, 'interlink');
    execFileSync('cp', [INTERLINK, copy]);
    const { stdout } = await new Promise<{ stdout: string }>((done, reject) =>
      execFile(copy, ['version'], { env: {}, cwd: '/' }, (error, stdout) => (error ? reject(error) : done({ stdout }))),
    );
    expect(stdout).toContain('interlink');
  });

  it('ignores NODE_OPTIONS', async () => {
    const evil = file('evil.cjs', 'console.log("evil");');
    const { out } = await interlink(['--version'], { NODE_OPTIONS: `--require ${evil}` });
    expect(out).not.toContain('evil');
  });

  it('shows source files and lines in the stack of a fault of its own', async () => {
    // The injected fault: a standard output that cannot be written to.
    const err = await new Promise<string>((done) => {
      execFile('sh', ['-c', 'exec "$0" version 2>&1 >/dev/full', INTERLINK], (_error, stdout) => done(stdout));
    });
    expect(err).toContain('ENOSPC');
    expect(err).toMatch(/src\/cli\/[\w-]+\.ts:\d+:\d+/);
  });

  it('ends quietly when the reader of its output is gone', async () => {
    const outcome = await new Promise<{ code: number | null; err: string }>((done) => {
      const script = '"$0" config view --show-origin -c "$1" | true; echo done';
      const config = file('pipe.yaml', 'node: { name: n, site: { url: unix:/s } }\n');
      execFile('sh', ['-c', script, INTERLINK, config], (error, _stdout, err) => done({ code: error ? 1 : 0, err }));
    });
    expect(outcome).toEqual({ code: 0, err: '' });
  });
});

describe('the command line', () => {
  it('shows help on standard output', async () => {
    expect(await interlink(['--help'])).toMatchObject({
      code: 0,
      out: expect.stringContaining('Usage: interlink'),
      err: '',
    });
  });

  it.each([
    [[], 'Usage: interlink'],
    [['verzion'], 'Did you mean version?'],
    [['config', 'chekc'], 'Did you mean check?'],
    [['config', 'check', '--confg', 'x'], 'Did you mean --config?'],
  ])('refuses %j with exit code 2, on standard error only', async (argv, hint) => {
    const { code, out, err } = await interlink(argv);
    expect([code, out]).toEqual([2, '']);
    expect(err).toContain(hint);
  });
});

describe('openapi', () => {
  it('prints the contract with the version of the program', async () => {
    const { code, out } = await interlink(['openapi']);
    expect(code).toBe(0);
    expect(JSON.parse(out)).toMatchObject({
      openapi: '3.1.0',
      info: { version: expect.not.stringMatching(/^0\.0\.0$/) },
    });
  });
});

describe('the configuration', () => {
  it('is refused with exit code 3 and every problem with file and line', async () => {
    const path = file('wrong.yaml', 'node:\n  name: 5\n  kubelt: {}\nprxy: {}\n');
    const { code, out, err } = await interlink(['config', 'check', '-c', path], { INTERLINK_NODE_SITE_URL: 'ftp://x' });
    expect([code, out]).toEqual([3, '']);
    expect(err).toContain(`${path}:2:3: node.name: expected a string, got 5`);
    expect(err).toContain(`${path}:3:3: node.kubelt: unknown key; did you mean kubelet?`);
    expect(err).toContain(`${path}:4:1: prxy: unknown section; did you mean proxy?`);
    expect(err).toContain('INTERLINK_NODE_SITE_URL: node.site.url: expected https://');
  });

  it.each([
    ['not YAML', 'node: [', ':1:'],
    ['a key written twice', 'node: {}\nnode: {}\n', ':2:1: this key is written twice'],
    ['a list at the top', '- node\n', ':1:1: expected sections'],
  ])('that is %s is refused with its place', async (_name, text, expected) => {
    const { code, err } = await interlink(['config', 'check', '-c', file('broken.yaml', text)]);
    expect(code).toBe(3);
    expect(err).toContain(expected);
  });

  it('that does not exist is refused', async () => {
    const { code, err } = await interlink(['config', 'check'], { INTERLINK_CONFIG: join(directory, 'missing.yaml') });
    expect(code).toBe(3);
    expect(err).toContain('missing.yaml: no such file');
  });

  it('is found in XDG_CONFIG_HOME and shown with origins', async () => {
    const home = join(directory, 'xdg');
    execFileSync('mkdir', ['-p', join(home, 'interlink')]);
    const path = join(home, 'interlink', 'config.yaml');
    writeFileSync(path, 'node: { name: hpc, site: { url: unix:/s } }\n');
    const { code, out } = await interlink(['config', 'view', '--show-origin'], { XDG_CONFIG_HOME: home });
    expect(code).toBe(0);
    expect(out).toContain(`name: hpc # ${path}:1:9`);
  });
});
