import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterAll, describe, expect, it } from 'vitest';
import { INTERLINK, interlink } from './interlink.ts';

const directory = mkdtempSync(join(tmpdir(), 'interlink-daemon-'));
afterAll(() => rmSync(directory, { recursive: true }));

const SIDECAR = ['sidecar', 'local', '--runtime-name', 'process'];
const environment = { PATH: process.env.PATH ?? '', HOME: directory };

/** Starts a daemon, waits for a log line that matches, and gives what it has logged at its end. */
async function daemon(args: readonly string[], until: RegExp, signal: NodeJS.Signals) {
  const child = spawn(INTERLINK, args, { env: environment, stdio: ['ignore', 'pipe', 'pipe'] });
  const [lines, out]: [string[], string[]] = [[], []];
  child.stdout.on('data', (chunk: Buffer) => void out.push(chunk.toString()));
  const reader = createInterface(child.stderr);
  const seen = new Promise<void>((resolve) => {
    reader.on('line', (line) => {
      lines.push(line);
      if (until.test(line)) resolve();
    });
  });
  const ended = once(child, 'close') as Promise<[number | null, string | null]>;
  await Promise.race([seen, ended]);
  child.kill(signal);
  const [code] = await ended;
  return { code, lines, out: out.join('') };
}

describe('a daemon', () => {
  it.each(['SIGTERM', 'SIGINT'] as const)(
    'logs JSON lines, keeps standard output empty and ends with 0 on %s',
    async (signal) => {
      const state = join(directory, signal);
      const { code, lines, out } = await daemon([...SIDECAR, '--state-directory', state], /"ready"/, signal);
      expect([code, out]).toEqual([0, '']);
      const messages = lines.map((line) => JSON.parse(line) as { message: string; level: string; component: string });
      expect(messages[0]).toMatchObject({ message: 'starting', level: 'info', component: 'sidecar-local' });
      expect(messages.at(-1)).toMatchObject({ message: 'stopped' });
      expect(statSync(state).mode & 0o777).toBe(0o700);
    },
  );

  it('ignores the hangup of a terminal that it does not write to, as under nohup', async () => {
    const child = spawn(INTERLINK, [...SIDECAR, '--state-directory', join(directory, 'hup')], {
      env: environment,
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    const lines = createInterface(child.stderr);
    for await (const line of lines) {
      if (!line.includes('"ready"')) continue;
      child.kill('SIGHUP');
      break;
    }
    const ended = once(child, 'close') as Promise<[number | null, string | null]>;
    child.kill('SIGTERM');
    expect(await ended).toEqual([0, null]);
  });

  it('says in one log line why it cannot start, and ends with the code of the fault', async () => {
    // The injected fault: the state directory is in use by another sidecar.
    const state = join(directory, 'taken');
    const first = spawn(INTERLINK, [...SIDECAR, '--state-directory', state], {
      env: environment,
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    for await (const line of createInterface(first.stderr)) if (line.includes('"ready"')) break;
    try {
      const { code, err } = await interlink([...SIDECAR, '--state-directory', state], environment);
      expect(code).toBe(1);
      const last = JSON.parse(err.trim().split('\n').at(-1) ?? '') as { level: string; err: { kind: string } };
      expect(last).toMatchObject({ level: 'error', message: 'failed', err: { kind: 'Conflict' } });
    } finally {
      first.kill('SIGTERM');
      await once(first, 'close');
    }
  });

  it('warns at every start about an insecure switch that is on', async () => {
    const config = join(directory, 'proxy.yaml');
    const socket = `unix:${join(directory, 'p', 'proxy.sock')}`;
    const sidecars = `[{ url: "unix:${join(directory, 'none.sock')}" }]`;
    writeFileSync(config, `proxy: { listen: "${socket}", insecureNoAuthentication: true, sidecars: ${sidecars} }\n`);
    const { code, lines } = await daemon(['proxy', 'start', '-c', config], /"ready"/, 'SIGTERM');
    expect(code).toBe(0);
    expect(lines.some((line) => line.includes('"warn"') && line.includes('insecureNoAuthentication'))).toBe(true);
  });

  it('refuses its configuration with exit code 3 before it does anything', async () => {
    const state = join(directory, 'never');
    const { code, err } = await interlink([...SIDECAR, '--state-directory', state, '--pods', 'many'], environment);
    expect(code).toBe(3);
    expect(err).toContain('--pods: sidecar.pods: expected a number, got "many"');
    expect(() => statSync(state)).toThrow('ENOENT');
  });

  it.each([
    ['--log-format json', {}, 'json'],
    ['', {}, 'colour'],
    ['', { NO_COLOR: '1' }, 'plain'],
  ])('on a terminal with "%s" and %j it logs %s', async (flags, env, expected) => {
    const state = join(directory, `tty-${expected}`);
    const command = `timeout 30 ${INTERLINK} ${SIDECAR.join(' ')} --state-directory ${state} ${flags}`;
    const text = await new Promise<string>((resolve) => {
      const child = execFile('script', ['-qec', command, '/dev/null'], {
        env: { ...environment, ...env, TERM: 'xterm' },
      });
      let seen = '';
      child.stdout?.on('data', (chunk: string) => {
        seen += chunk;
        if (/ready\b[^-]/.test(seen)) child.kill('SIGTERM');
      });
      child.once('close', () => resolve(seen));
    });
    expect(text.includes('{"level"')).toBe(expected === 'json');
    expect(text.includes('\u001b[')).toBe(expected === 'colour');
    if (expected === 'plain') expect(text).toMatch(/^\d\d:\d\d:\d\d\.\d{3} info {2}starting /);
  });
});

describe('exit codes of calls', () => {
  const pod = join(directory, 'pod.yaml');
  writeFileSync(
    pod,
    'apiVersion: v1\nkind: Pod\nmetadata: { name: p }\nspec: { restartPolicy: Never, containers: [{ name: c, image: x, command: ["true"] }] }\n',
  );

  it('are 5 when nobody answers', async () => {
    const { code, err } = await interlink(['run', pod, '--url', `unix:${join(directory, 'nobody.sock')}`], environment);
    expect(code).toBe(5);
    expect(err).toContain('nobody.sock');
  });

  it('are 2 for options that contradict each other', async () => {
    expect((await interlink(['run', pod, '--url', 'unix:/x', '--runtime', 'process'], environment)).code).toBe(2);
  });
});
