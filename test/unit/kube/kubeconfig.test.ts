import { chmod, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { localCommandRunner } from '../../../src/base/command.ts';
import { kindOf, messageOf } from '../../../src/base/errors.ts';
import { readKubeconfig } from '../../../src/kube/kubeconfig.ts';
import { loadKubeConnection } from '../../../src/kube/load-kube-connection.ts';
import { FakeClock } from '../../fakes/fake-clock.ts';
import { temporaryDirectory } from '../../fakes/running.ts';

const { signal } = new AbortController();
const environment = { PATH: process.env.PATH ?? '' };

interface Parts {
  readonly cluster?: Record<string, unknown>;
  readonly user?: Record<string, unknown>;
  readonly more?: Record<string, unknown>;
}

function config({ cluster = {}, user = {}, more = {} }: Parts): string {
  return JSON.stringify({
    'current-context': 'here',
    contexts: [
      { name: 'here', context: { cluster: 'c', user: 'u', namespace: 'mine' } },
      { name: 'lost', context: { cluster: 'nowhere', user: 'u' } },
      { name: 'nobody', context: { cluster: 'c', user: 'who' } },
    ],
    clusters: [{ name: 'c', cluster: { server: 'https://api.example:6443/', ...cluster } }],
    users: [{ name: 'u', user }],
    ...more,
  });
}

async function withFile<T>(text: string, use: (path: string, directory: string) => Promise<T>): Promise<T> {
  await using directory = await temporaryDirectory();
  const path = join(directory.path, 'kubeconfig');
  await writeFile(path, text);
  return await use(path, directory.path);
}

function deps(clock = new FakeClock()) {
  return { clock, commands: localCommandRunner, environment };
}

const base64 = (text: string): string => Buffer.from(text).toString('base64');

describe('kubeconfig', () => {
  it('gives server, namespace, authority and client certificate of the current context', async () => {
    const text = config({
      cluster: { 'certificate-authority-data': base64('CA'), 'tls-server-name': 'kube' },
      user: { 'client-certificate-data': base64('CERT'), 'client-key-data': base64('KEY') },
    });
    await withFile(text, async (path) => {
      const connection = await readKubeconfig(path, deps());
      expect(connection).toMatchObject({
        server: 'https://api.example:6443',
        namespace: 'mine',
        caData: 'CA',
        serverName: 'kube',
      });
      const { certificate } = await connection.credentials({ refresh: false, signal });
      expect([certificate?.certificate, certificate?.key.reveal()]).toEqual(['CERT', 'KEY']);
    });
  });

  it('takes paths as relative to the file', async () => {
    const text = config({
      cluster: { 'certificate-authority': 'pki/ca.crt' },
      user: { 'client-certificate': 'pki/u.crt', 'client-key': 'pki/u.key' },
    });
    await withFile(text, async (path, directory) => {
      await mkdir(join(directory, 'pki'));
      for (const name of ['ca.crt', 'u.crt', 'u.key']) await writeFile(join(directory, 'pki', name), name);
      const connection = await readKubeconfig(path, deps());
      const { certificate } = await connection.credentials({ refresh: false, signal });
      expect([connection.caData, certificate?.certificate, certificate?.key.reveal()]).toEqual([
        'ca.crt',
        'u.crt',
        'u.key',
      ]);
    });
  });

  it('reads a token file again after a minute, and at once when asked', async () => {
    const clock = new FakeClock();
    await withFile(config({ user: { tokenFile: 'token' } }), async (path, directory) => {
      const write = (text: string): Promise<void> => writeFile(join(directory, 'token'), `${text}\n`);
      await write('one');
      const { credentials } = await readKubeconfig(path, deps(clock));
      const token = async (refresh: boolean) => (await credentials({ refresh, signal })).token?.reveal();
      expect(await token(false)).toBe('one');
      await write('two');
      expect(await token(false)).toBe('one');
      expect(await token(true)).toBe('two');
      await write('three');
      await clock.advance(61_000);
      expect(await token(false)).toBe('three');
    });
  });

  it('runs a credential plugin, keeps its token until shortly before the end, and hides it', async () => {
    const clock = new FakeClock(Date.parse('2026-11-25T12:00:00Z'));
    const plugin = [
      '#!/bin/sh',
      'printf x >> calls',
      `echo '{"kind":"ExecCredential","status":{"token":"t-'$1-$EXTRA'","expirationTimestamp":"2026-11-25T12:10:00Z"}}'`,
    ].join('\n');
    const exec = {
      apiVersion: 'client.authentication.k8s.io/v1',
      command: './plugin',
      args: ['a'],
      env: [{ name: 'EXTRA', value: 'e' }],
    };
    await withFile(config({ user: { exec } }), async (path, directory) => {
      await writeFile(join(directory, 'plugin'), plugin);
      await chmod(join(directory, 'plugin'), 0o755);
      const { credentials } = await readKubeconfig(path, deps(clock));
      const [first, second] = await Promise.all([
        credentials({ refresh: false, signal }),
        credentials({ refresh: false, signal }),
      ]);
      expect(first.token?.reveal()).toBe('t-a-e');
      expect(second).toBe(first);
      expect(JSON.stringify(first)).not.toContain('t-a');
      await clock.advance(9 * 60_000);
      expect(await credentials({ refresh: false, signal })).toBe(first);
      await clock.advance(31_000);
      expect(await credentials({ refresh: false, signal })).not.toBe(first);
    });
  });

  it.each([
    [
      'a plugin that is missing',
      { command: 'no-such-plugin-here', installHint: 'install it' },
      /cannot be started; install it/,
    ],
    ['a plugin that fails', { command: 'sh', args: ['-c', 'echo no login >&2; exit 3'] }, /ended with 3: no login/],
    ['a plugin that prints nonsense', { command: 'echo', args: ['s3cret'] }, /printed no ExecCredential/],
    [
      'a plugin that prints a half certificate',
      { command: 'echo', args: ['{"status":{"clientKeyData":"k"}}'] },
      /neither a token/,
    ],
  ])('says what is wrong with %s, without its output', async (_, exec, message) => {
    const apiVersion = 'client.authentication.k8s.io/v1';
    await withFile(config({ user: { exec: { apiVersion, ...exec } } }), async (path) => {
      const { credentials } = await readKubeconfig(path, deps());
      const error = await credentials({ refresh: false, signal }).catch((reason: unknown) => reason);
      expect(kindOf(error)).toBe('Unauthenticated');
      expect(messageOf(error)).toMatch(message);
      expect(messageOf(error)).not.toContain('s3cret');
    });
  });

  it.each<[string, string, RegExp]>([
    ['an empty file', '', /is empty/],
    ['a file that is no YAML', 'users: [{name: u, user: {token: s3cret}', /is no YAML: \S+ at byte/],
    ['lists that are none', 'clusters: 3', /clusters is not a list/],
    ['entries that are null', 'contexts: [null]', /contexts is not a list of named/],
    ['no current context', config({ more: { 'current-context': '' } }), /has no current-context/],
    ['an unknown context', config({ more: { 'current-context': 'x' } }), /has no context x/],
    [
      'an unknown cluster',
      config({ more: { 'current-context': 'lost' } }),
      /has no cluster nowhere, which context lost/,
    ],
    ['an unknown user', config({ more: { 'current-context': 'nobody' } }), /has no user who/],
    ['a server that is no URL', config({ cluster: { server: 'api.example' } }), /is no https URL/],
    ['a server without encryption', config({ cluster: { server: 'http://api.example' } }), /is not encrypted/],
    ['an unverified server', config({ cluster: { 'insecure-skip-tls-verify': true } }), /insecureKubeconfig/],
    ['a proxy', config({ cluster: { 'proxy-url': 'http://p' } }), /proxy-url/],
    [
      'a missing authority',
      config({ cluster: { 'certificate-authority': 'none' } }),
      /certificate-authority cannot be read/,
    ],
    ['a password', config({ user: { username: 'u', password: 's3cret' } }), /password is not supported/],
    ['a removed login', config({ user: { 'auth-provider': { name: 'gcp' } } }), /exec plugin/],
    ['impersonation', config({ user: { as: 'root' } }), /impersonation/],
  ])('refuses %s by name', async (_, text, message) => {
    await withFile(text, async (path) => {
      const error = await readKubeconfig(path, deps()).catch((reason: unknown) => reason);
      expect(kindOf(error)).toBe('Invalid');
      expect(messageOf(error)).toMatch(message);
      expect(messageOf(error)).toContain(path);
      expect(messageOf(error)).not.toContain('s3cret');
    });
  });

  it('accepts an unverified server only when that was asked for', async () => {
    await withFile(config({ cluster: { 'insecure-skip-tls-verify': true } }), async (path) => {
      expect(await readKubeconfig(path, deps(), { allowInsecure: true })).toMatchObject({
        insecureSkipTlsVerify: true,
      });
    });
  });
});

describe('where the cluster is found', () => {
  it('prefers the named file to the environment, and that to the pod', async () => {
    await withFile(config({}), async (path) => {
      const found = (kubeconfig: string | undefined, more: Record<string, string>) =>
        loadKubeConnection(
          { ...deps(), environment: { ...environment, ...more } },
          kubeconfig === undefined ? {} : { kubeconfig },
        );
      const pod = { KUBERNETES_SERVICE_HOST: '10.0.0.1' };
      expect((await found(path, { KUBECONFIG: '/nowhere', ...pod })).source).toBe(`kubeconfig ${path}`);
      expect((await found(undefined, { KUBECONFIG: path, ...pod })).source).toBe(`kubeconfig ${path}`);
      await expect(found(undefined, { KUBECONFIG: `${path}:${path}` })).rejects.toThrow(/several files/);
    });
  });

  it('uses the service account of the pod that it runs in', async () => {
    await using directory = await temporaryDirectory();
    for (const [name, text] of [
      ['ca.crt', 'CA'],
      ['namespace', 'ns'],
      ['token', 'T\n'],
    ] as const)
      await writeFile(join(directory.path, name), text);
    const connection = await loadKubeConnection(
      { ...deps(), environment: { KUBERNETES_SERVICE_HOST: 'fd00::1', KUBERNETES_SERVICE_PORT: '6443' } },
      { serviceAccountDirectory: directory.path },
    );
    expect(connection).toMatchObject({ server: 'https://[fd00::1]:6443', caData: 'CA', namespace: 'ns' });
    expect((await connection.credentials({ refresh: false, signal })).token?.reveal()).toBe('T');
  });

  it('tells the ways when there is none', async () => {
    const nothing = loadKubeConnection({ ...deps(), environment: { HOME: '/nowhere' } });
    await expect(nothing).rejects.toThrow(/set kubeconfig, or KUBECONFIG/);
  });
});
