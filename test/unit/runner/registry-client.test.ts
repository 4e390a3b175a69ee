import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import { createServer as createSecureServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { Secret } from '../../../src/base/secret.ts';
import { parseImageReference } from '../../../src/contract/image-reference.ts';
import { parseChallenge } from '../../../src/runner/registry-challenge.ts';
import { RegistryClient } from '../../../src/runner/registry-client.ts';
import type { RegistryCredential } from '../../../src/runner/registry-keyring.ts';
import { createCertificate } from '../../fakes/certificate.ts';
import { FakeRegistry, type FakeRegistryOptions } from '../../fakes/fake-registry.ts';
import { checkRegistryContract } from '../../fakes/registry-contract.ts';

const signal = new AbortController().signal;
const login = (password: string): RegistryCredential => ({ username: 'me', password: new Secret(password) });

async function bench(options: FakeRegistryOptions, environment: Record<string, string> = {}) {
  const registry = await FakeRegistry.start(options);
  const client = new RegistryClient({ environment, isPlain: () => true });
  onTestFinished(async () => {
    client[Symbol.dispose]();
    await registry[Symbol.asyncDispose]();
  });
  const resolve = (name: string, ...credentials: RegistryCredential[]) =>
    client.resolve(parseImageReference(`${registry.host}/${name}`), credentials, signal);
  return { registry, client, resolve };
}

describe('a registry that is asked for a digest', () => {
  it('gives it by a HEAD alone, for a tag, none, or a digest', async () => {
    const { registry, resolve } = await bench({});
    const digest = registry.push('a/b', '1', 'one');
    const latest = registry.push('a/b', 'latest', 'two');
    expect(await resolve('a/b:1')).toEqual({ digest, usedCredential: false });
    expect(await resolve('a/b')).toEqual({ digest: latest, usedCredential: false });
    expect(await resolve(`a/b:other@${digest}`, login('unused'))).toEqual({ digest, usedCredential: false });
    expect(registry.requests.map(({ method }) => method)).toEqual(['HEAD', 'HEAD', 'HEAD']);
    expect(registry.requests.every(({ authorization }) => authorization === undefined)).toBe(true);
  });

  it('need not be known by a certificate, nor know TLS, when the site says so', async () => {
    const { registry } = await bench({});
    const digest = registry.push('a/b', '1', 'one');
    const certificates = await mkdtemp(join(tmpdir(), 'interlink-registry-'));
    const { keyFile, certFile } = await createCertificate(certificates);
    const [key, cert] = await Promise.all([readFile(keyFile), readFile(certFile)]);
    await rm(certificates, { recursive: true });
    const secure = createSecureServer({ key, cert }, (_, response) =>
      response.setHeader('docker-content-digest', digest).end(),
    );
    await new Promise<void>((resolve) => secure.listen(0, '127.0.0.1', resolve));
    const clients = [true, false].map(
      (isInsecure) => new RegistryClient({ environment: {}, isPlain: () => false, isInsecure }),
    );
    onTestFinished(() => {
      for (const client of clients) client[Symbol.dispose]();
      secure.close();
    });
    const hosts = [registry.host, `127.0.0.1:${(secure.address() as AddressInfo).port}`];
    const [insecure, careful] = clients;
    for (const host of hosts) {
      const reference = parseImageReference(`${host}/a/b:1`);
      expect(await insecure?.resolve(reference, [], signal)).toMatchObject({ digest });
      await expect(careful?.resolve(reference, [], signal)).rejects.toMatchObject({ code: 'ErrImagePull' });
    }
  });

  it.each(['basic', 'token'] as const)('takes the first login that is good (%s)', async (auth) => {
    const { registry, resolve } = await bench({ auth });
    const digest = registry.push('private/a', '1', 'x');
    const good = login('hush');
    expect(await resolve('private/a:1', login('wrong'), good, login('late'))).toEqual({
      digest,
      usedCredential: true,
      credential: good,
    });
    const shown = registry.requests.flatMap(({ authorization }) => authorization ?? []);
    expect(shown.join()).not.toContain(Buffer.from('me:late').toString('base64'));
  });

  it('answers as a real one', async () => {
    const { registry } = await bench({ auth: 'basic' });
    const digest = registry.push('private/a', '1', 'x');
    const { host } = registry;
    await checkRegistryContract({ host, repository: 'private/a', tag: '1', digest, user: 'me', password: 'hush' });
  });

  it('gives a token to anybody for what is public', async () => {
    const { registry, resolve } = await bench({ auth: 'token' });
    const digest = registry.push('public/a', '1', 'x');
    expect(await resolve('public/a:1')).toEqual({ digest, usedCredential: false });
    expect(registry.requests[1]?.path).toBe('/token?service=fake&scope=repository%3Apublic%2Fa%3Apull');
  });

  it('is read by GET when it is silent about digests or knows no HEAD', async () => {
    const { registry, resolve } = await bench({});
    const digest = registry.push('a/b', '1', 'one');
    registry.override = (request, response) => {
      if (request.method === 'HEAD') response.writeHead(405).end();
      return request.method === 'HEAD';
    };
    expect(await resolve('a/b:1')).toMatchObject({ digest });
    registry.override = (request, response) => {
      const isHead = request.method === 'HEAD';
      if (isHead) response.writeHead(200).end();
      return isHead;
    };
    expect(await resolve('a/b:1')).toMatchObject({ digest });
  });

  it('may send on to another host, which does not see the login', async () => {
    const { registry, resolve } = await bench({ auth: 'basic' });
    const digest = registry.push('other/b', '1', 'one');
    const seen: (string | undefined)[] = [];
    const other = createServer((request, response) => {
      seen.push(request.headers.authorization);
      response.writeHead(200, { 'docker-content-digest': digest }).end();
    });
    await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve));
    onTestFinished(() => void other.close());
    const location = `http://127.0.0.1:${(other.address() as AddressInfo).port}/v2/x/manifests/1`;
    registry.override = ({ headers }, response) => {
      if (headers.authorization) response.writeHead(307, { location }).end();
      return headers.authorization !== undefined;
    };
    expect(await resolve('private/b:1', login('hush'))).toMatchObject({ digest });
    expect(seen).toEqual([undefined]);
  });

  it('is asked through the proxy of the site', async () => {
    const asked: string[] = [];
    const proxy = createServer().on('connect', (request, socket) => {
      asked.push(request.url ?? '');
      socket.end('HTTP/1.1 403 Forbidden\r\n\r\n');
    });
    await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve));
    onTestFinished(() => void proxy.close());
    const https_proxy = `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`;
    const client = new RegistryClient({ environment: { https_proxy, NO_PROXY: 'near.invalid' }, isPlain: () => false });
    onTestFinished(() => client[Symbol.dispose]());
    const ask = (name: string) => client.resolve(parseImageReference(name), [], signal);
    await expect(ask('far.invalid/a:1')).rejects.toMatchObject({ code: 'ErrImagePull' });
    await expect(ask('near.invalid/a:1')).rejects.toMatchObject({ code: 'ErrImagePull' });
    expect(asked).toEqual(['far.invalid:443']);
  });

  it.each<[what: string, options: FakeRegistryOptions, name: string, logins: string[], words: RegExp]>([
    [
      'a missing image',
      {},
      'a/none:1',
      [],
      /^failed to pull and unpack image "(.*)": failed to resolve reference "\1": \1: not found/,
    ],
    [
      'no login',
      { auth: 'basic' },
      'private/a:1',
      [],
      /pull access denied, repository does not exist or may require authorization: no login; give the pod imagePullSecrets for 127\.0\.0\.1:\d+$/,
    ],
    ['a token without rights', { auth: 'token' }, 'private/a:1', [], /pull access denied/],
    ['a wrong login', { auth: 'basic' }, 'private/a:1', ['wrong'], /the registry refused the login of the pod$/],
    [
      'a wrong login for a token',
      { auth: 'token' },
      'private/a:1',
      ['wrong'],
      /failed to authorize: failed to fetch oauth token: unexpected status from GET request to http:\/\/127\.0\.0\.1:\d+\/token: 401 Unauthorized \(denied: denied\)$/,
    ],
    [
      'several wrong logins, told once',
      { auth: 'basic' },
      'private/a:1',
      ['one', 'two'],
      /: pull access denied[^,]*,[^,]*$/,
    ],
  ])('says what is wrong: %s', async (_what, options, name, logins, words) => {
    const { registry, resolve } = await bench(options);
    registry.push('private/a', '1', 'x');
    const error = await resolve(name, ...logins.map(login)).catch((cause: unknown) => cause);
    expect(error).toMatchObject({ kind: 'Unavailable', code: 'ErrImagePull', message: expect.stringMatching(words) });
    for (const password of logins) {
      expect(String(error)).not.toContain(password === 'wrong' ? 'me:wrong' : password);
      expect(String(error)).not.toContain(Buffer.from(`me:${password}`).toString('base64'));
    }
  });

  it('that nobody serves is told in the words of golden 052', async () => {
    const { client } = await bench({});
    await expect(client.resolve(parseImageReference('127.0.0.1:1/no/image:1'), [], signal)).rejects.toThrow(
      'failed to pull and unpack image "127.0.0.1:1/no/image:1": failed to resolve reference "127.0.0.1:1/no/image:1": failed to do request: Head "http://127.0.0.1:1/v2/no/image/manifests/1": dial tcp 127.0.0.1:1: connect: connection refused',
    );
  });

  it.each([
    [
      'an error of its own',
      500,
      {},
      /unexpected status from HEAD request to http:\/\/.*\/v2\/a\/manifests\/1: 500 Internal Server Error/,
    ],
    [
      'a token from nowhere',
      401,
      { 'www-authenticate': 'Bearer realm="ftp://x/"' },
      /wants a token from "ftp:\/\/x", which is not https/,
    ],
    ['a redirect in circles', 302, { location: '/v2/a/manifests/1' }, /redirects too often/],
    ['a redirect to a file', 302, { location: 'file:///etc/passwd' }, /redirects to "null", which is not https/],
  ])('is not trusted with %s', async (_what, status, headers, words) => {
    const { registry, resolve } = await bench({});
    registry.override = (_request, response) => {
      response.writeHead(status, headers).end();
      return true;
    };
    await expect(resolve('a:1', login('hush'))).rejects.toThrow(words);
  });

  it('is asked no longer than the pod lives', async () => {
    const { registry, client } = await bench({});
    const stop = new AbortController();
    registry.override = () => {
      stop.abort(new Error('stopped'));
      return true;
    };
    const asking = client.resolve(parseImageReference(`${registry.host}/a:1`), [], stop.signal);
    await expect(asking).rejects.toThrow('stopped');
  });
});

describe('a challenge', () => {
  it.each<[header: string, scheme: string | undefined, parameters: Record<string, string>]>([
    ['Basic realm="a"', 'basic', { realm: 'a' }],
    [
      'bearer Realm="https://a/b?c=d",service=s, scope="x:y,z"',
      'bearer',
      { realm: 'https://a/b?c=d', service: 's', scope: 'x:y,z' },
    ],
    ['Basic realm="a", Bearer realm="b \\"c\\""', 'bearer', { realm: 'b "c"' }],
    ['Negotiate, Basic realm="a"', 'basic', { realm: 'a' }],
    ['Negotiate', undefined, {}],
    ['', undefined, {}],
    ['"', undefined, {}],
  ])('%s', (header, scheme, parameters) => {
    const found = parseChallenge(header);
    expect(found?.scheme).toBe(scheme);
    expect(Object.fromEntries(found?.parameters ?? [])).toEqual(parameters);
  });
});
