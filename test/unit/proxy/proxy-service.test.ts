import { readFile } from 'node:fs/promises';
import { request as httpsRequest } from 'node:https';
import { join } from 'node:path';
import { connect } from 'node:tls';
import { generateKeyPair } from 'jose';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { systemClock } from '../../../src/base/clock.ts';
import { InterlinkError } from '../../../src/base/errors.ts';
import { silentLogger } from '../../../src/base/logger.ts';
import { Secret } from '../../../src/base/secret.ts';
import { createRemoteSidecar } from '../../../src/contract/remote-sidecar.ts';
import { serveSidecar } from '../../../src/contract/serve-sidecar.ts';
import { createHttpServer } from '../../../src/http/http-server.ts';
import { proxyConfig } from '../../../src/proxy/config.ts';
import { createProxyService, type ProxyService } from '../../../src/proxy/proxy-service.ts';
import { createBundle } from '../../fakes/bundle.ts';
import { type CertificateFiles, createCertificate } from '../../fakes/certificate.ts';
import { createIssuer, type Issuer, type IssuerClient } from '../../fakes/issuer.ts';
import { MemorySidecar } from '../../fakes/memory-sidecar.ts';
import { RecordingLogger } from '../../fakes/recording-logger.ts';
import { running, temporaryDirectory } from '../../fakes/running.ts';

const AUDIENCE = 'https://site.example';
const OTHER = 'https://other.example';
const member: IssuerClient = { id: 'vk', secret: 'secret-of-vk', claims: { groups: ['/other', '/pods'] } };
const stranger: IssuerClient = { id: 'guest', secret: 'secret-of-guest', claims: { groups: ['/pods/child', '/Pods'] } };

let issuer: Issuer;
let resources: AsyncDisposableStack;
let directory: string;
let certificate: CertificateFiles;
let memory: MemorySidecar;
let logger: RecordingLogger;
let proxy: ProxyService;

interface Answer {
  readonly status: number;
  readonly challenge: string | undefined;
  readonly text: string;
  readonly headers: NodeJS.Dict<string | string[]>;
}

function ask(
  path: string,
  headers: Record<string, string | string[]> = {},
  body = '',
  method = 'POST',
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    if (proxy.address.kind !== 'tcp') return reject(new Error('no TCP address'));
    const sent = httpsRequest(
      { host: '127.0.0.1', port: proxy.address.port, path, method, headers, rejectUnauthorized: false, agent: false },
      (response) => {
        let text = '';
        response.setEncoding('utf8').on('data', (chunk: string) => {
          text += chunk;
        });
        response.once('end', () =>
          resolve({
            status: response.statusCode ?? 0,
            challenge: response.headers['www-authenticate'],
            text,
            headers: response.headers,
          }),
        );
      },
    );
    sent.once('error', reject);
    sent.end(body);
  });
}

const bearer = (token: string): Record<string, string> => ({ authorization: `Bearer ${token}` });
const auditText = (): Promise<string> => readFile(join(directory, 'audit.log'), 'utf8');
const auditLines = async (): Promise<Record<string, unknown>[]> => {
  const lines = (await auditText()).split('\n').filter((line) => line !== '');
  return lines.map((line) => JSON.parse(line));
};
const lastAudit = async () => (await auditLines()).at(-1);

beforeAll(async () => {
  issuer = await createIssuer([member, stranger], [AUDIENCE, OTHER]);
});
afterAll(() => issuer[Symbol.asyncDispose]());

beforeEach(async () => {
  resources = new AsyncDisposableStack();
  directory = resources.use(await temporaryDirectory()).path;
  certificate = await createCertificate(directory);
  memory = new MemorySidecar();
  logger = new RecordingLogger();
  proxy = await startProxy();
});
afterEach(() => resources.disposeAsync());

async function startProxy(change: object = {}): Promise<ProxyService> {
  const socket = join(directory, `${Math.random().toString(36).slice(2)}.sock`);
  const served = createHttpServer(
    { name: 's', address: { kind: 'unix', path: socket }, handler: serveSidecar(memory, { logger }), drainMs: 200 },
    { logger: silentLogger, clock: systemClock },
  );
  resources.use(await running(served));
  const config = proxyConfig.parse({
    listen: 'https://127.0.0.1:0',
    certFile: certificate.certFile,
    keyFile: certificate.keyFile,
    issuers: [{ issuer: issuer.url, audiences: [AUDIENCE], allowedGroups: ['/pods'] }],
    sidecars: [{ url: `unix:${socket}` }],
    auditFile: join(directory, 'audit.log'),
    publicUrl: 'https://site.example/',
    drainSeconds: 1,
    ...change,
  });
  return resources.use(await running(createProxyService({ config, logger, clock: systemClock })));
}

describe('the proxy', () => {
  it('passes a caller with a good token on and names it in the audit', async () => {
    const token = await issuer.token(member, AUDIENCE);
    const answer = await ask('/pinglink', { ...bearer(token), 'interlink-http-session': 'PingInterLink#7' });
    expect(answer).toMatchObject({ status: 200, challenge: undefined });
    expect(JSON.parse(answer.text)).toEqual(memory.pingResult);
    expect(await lastAudit()).toMatchObject({
      decision: 'allow',
      reason: 'group /pods',
      status: 200,
      issuer: issuer.url,
      subject: 'vk',
      clientId: 'vk',
      audiences: [AUDIENCE],
      path: '/pinglink',
      call: 'ping',
      session: 'PingInterLink#7',
      remoteAddress: '127.0.0.1',
    });
  });

  type Refused = readonly [name: string, make: () => Promise<string>, status: number, error: string, code: string];
  it.each<Refused>([
    [
      'wrong (signed by another key)',
      async () =>
        issuer.forge({ aud: AUDIENCE, groups: ['/pods'] }, { key: (await generateKeyPair('RS256')).privateKey }),
      401,
      'invalid_token',
      'oauth.token.signature',
    ],
    [
      'expired',
      () => issuer.forge({ aud: AUDIENCE, groups: ['/pods'], exp: Math.floor(Date.now() / 1000) - 1 }),
      401,
      'invalid_token',
      'oauth.token.expired',
    ],
    ['for another audience', () => issuer.token(member, OTHER), 401, 'invalid_token', 'oauth.token.audience'],
    ['without an audience', () => issuer.forge({ groups: ['/pods'] }), 401, 'invalid_token', 'oauth.token.audience'],
    ['of another group', () => issuer.token(stranger, AUDIENCE), 403, 'insufficient_scope', 'proxy.access.group'],
    ['without groups', () => issuer.forge({ aud: AUDIENCE }), 403, 'insufficient_scope', 'proxy.access.group'],
    ['random', async () => 'ghu_16C7e42F292c6912E7710c838347Ae178B4a', 401, 'invalid_token', 'oauth.token.format'],
  ])(
    'refuses a token that is %s, with the header, in the audit, and nowhere the token',
    async (_name, make, status, error, code) => {
      const token = await make();
      const answer = await ask('/pinglink', bearer(token));
      expect(answer.status).toBe(status);
      expect(answer.challenge).toMatch(
        /^Bearer realm="interlink", error="[a-z_]+", error_description="[\x20-\x21\x23-\x5b\x5d-\x7e]*", resource_metadata="https:\/\/site\.example\/\.well-known\/oauth-protected-resource"$/,
      );
      expect(answer.challenge).toContain(`error="${error}"`);
      const audit = await lastAudit();
      expect(audit).toMatchObject({ decision: 'deny', status, code });
      if (status === 403) expect(audit).toMatchObject({ issuer: issuer.url, subject: expect.any(String) });
      expect(memory.calls).toEqual([]);
      const everything = `${logger.text}\n${await auditText()}\n${answer.text}\n${answer.challenge}`;
      for (const part of token.split('.').filter(({ length }) => length > 20)) expect(everything).not.toContain(part);
    },
  );

  it('lets no token of an accepted caller into a log either, also when the sidecar fails', async () => {
    const token = await issuer.token(member, AUDIENCE);
    memory.fail('ping', new InterlinkError('Unavailable', 'away'), 3);
    expect((await ask('/pinglink', bearer(token))).status).toBe(503);
    expect((await ask('/create', bearer(token), '{')).status).toBe(400);
    const everything = `${logger.text}\n${await auditText()}`;
    for (const part of token.split('.')) expect(everything).not.toContain(part);
  });

  it.each([
    ['no credentials', {}, 401, /^Bearer realm="interlink", resource_metadata=/],
    ['another scheme', { authorization: 'Basic dms6c2VjcmV0' }, 401, /^Bearer realm="interlink", resource_metadata=/],
    ['a scheme without a token', { authorization: 'Bearer' }, 400, /error="invalid_request"/],
    ['two tokens in one header', { authorization: 'Bearer a b' }, 400, /error="invalid_request"/],
  ])('answers %s as RFC 6750 says', async (_name, headers, status, challenge) => {
    const answer = await ask('/pinglink', headers as Record<string, string>);
    expect(answer.status).toBe(status);
    expect(answer.challenge).toMatch(challenge);
    expect(await lastAudit()).toMatchObject({ decision: 'deny', status });
  });

  it('describes itself to clients that look for its issuer', async () => {
    const answer = await ask('/.well-known/oauth-protected-resource', {}, '', 'GET');
    expect(JSON.parse(answer.text)).toMatchObject({
      resource: 'https://site.example/',
      authorization_servers: [issuer.url],
    });
  });

  it.each([
    '/pinglink%23',
    '/ping%6cink',
    '/%2e%2e/pinglink',
    '/./pinglink',
    '/../pinglink',
    '//pinglink',
    '/pinglink/',
    '/pinglink;x',
    '/pinglink\\x',
    '/ping%00link',
    '/ping%2flink',
    '/pinglink?access_token=abc',
    'http://evil.example/pinglink',
  ])('refuses the request target %s before it looks at the token', async (target) => {
    const token = await issuer.token(member, AUDIENCE);
    const answer = await raw(
      `POST ${target} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${token}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`,
    );
    expect(answer).toMatch(/^HTTP\/1\.1 400 /);
    expect(memory.calls).toEqual([]);
  });

  it.each([
    ['two Authorization headers', 'Authorization: Bearer x\r\n', /^HTTP\/1\.1 400 /],
    ['a page in a browser', 'Origin: https://evil.example\r\n', /^HTTP\/1\.1 400 /],
    ['an upgrade', 'Connection: upgrade\r\nUpgrade: websocket\r\n', /^HTTP\/1\.1 400 /],
    ['both a length and chunks', 'Transfer-Encoding: chunked\r\n', /^HTTP\/1\.1 400 /],
  ])('refuses %s', async (_name, header, expected) => {
    const token = await issuer.token(member, AUDIENCE);
    const answer = await raw(
      `POST /pinglink HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${token}\r\nContent-Length: 0\r\n${header}Connection: close\r\n\r\n`,
    );
    expect(answer).toMatch(expected);
    expect(memory.calls).toEqual([]);
  });

  it('decides nothing by headers that claim an identity or another path', async () => {
    for (const [name, value] of [
      ['X-Forwarded-User', 'vk'],
      ['X_Forwarded_User', 'vk'],
      ['X-Forwarded-Uri', '/.well-known/oauth-protected-resource'],
      ['X-Original-URL', '/healthz'],
      ['User-Agent', 'kube-probe/1.36'],
      ['Cookie', '_oauth2_proxy=x'],
    ] as const)
      expect((await ask('/pinglink', { [name]: value })).status).toBe(401);
  });

  it('answers 404 for what the contract does not have, but only to those who may ask', async () => {
    expect((await ask('/admin')).status).toBe(401);
    expect((await ask('/admin', bearer(await issuer.token(member, AUDIENCE)))).status).toBe(404);
  });

  it('refuses bodies that are too large', async () => {
    const headers = { ...bearer(await issuer.token(member, AUDIENCE)), 'content-type': 'application/json' };
    expect((await ask('/getLogs', headers, ' '.repeat(65 * 1024))).status).toBe(413);
    expect((await ask('/getLogs', { ...headers, 'content-encoding': 'gzip' }, 'x')).status).toBe(415);
  });

  it('names the pod of a create in the audit, and what the sidecar said', async () => {
    const token = await issuer.token(member, AUDIENCE);
    const sidecar = resources.use(
      createRemoteSidecar({
        address: proxy.address,
        tls: { fingerprint: certificate.fingerprint },
        codec: 'api',
        token: async () => new Secret(token),
        clock: systemClock,
      }),
    );
    const { pod } = createBundle();
    const call = { signal: new AbortController().signal };
    await sidecar.create(createBundle(pod), call);
    const facts = { pod: `default/${pod.metadata?.name}`, podUid: pod.metadata?.uid, call: 'create' };
    expect(await lastAudit()).toMatchObject({ ...facts, decision: 'allow', status: 200 });
    memory.fail('create', new InterlinkError('Invalid', 'no such partition', { code: 'slurm.partition' }));
    await expect(sidecar.create(createBundle(), call)).rejects.toMatchObject({
      kind: 'Invalid',
      code: 'slurm.partition',
      message: 'no such partition',
    });
    expect(await lastAudit()).toMatchObject({ decision: 'allow', status: 400, code: 'slurm.partition' });
  });

  it('takes a fresh token when the old one is refused', async () => {
    const tokens = [
      await issuer.forge({ aud: AUDIENCE, groups: ['/pods'], exp: 1 }),
      await issuer.token(member, AUDIENCE),
    ];
    let asked = 0;
    const sidecar = resources.use(
      createRemoteSidecar({
        address: proxy.address,
        tls: { fingerprint: certificate.fingerprint },
        codec: 'api',
        token: async () => new Secret(tokens[Math.min(asked++, 1)] ?? ''),
        clock: systemClock,
      }),
    );
    expect(await sidecar.ping({ signal: new AbortController().signal })).toMatchObject({ status: 'ok' });
  });

  it('tells the node that the sidecar is away when the sidecar refuses the proxy', async () => {
    memory.fail('ping', new InterlinkError('Unauthenticated', 'who are you'), 3);
    const answer = await ask('/pinglink', bearer(await issuer.token(member, AUDIENCE)));
    expect(answer).toMatchObject({ status: 503, challenge: undefined });
    expect(answer.text).toContain('sidecar default refuses the proxy');
  });

  it('names a sidecar that is away without its address, and logs once that it is away and that it is back', async () => {
    const token = await issuer.token(member, AUDIENCE);
    const socket = join(directory, 'late.sock');
    proxy = await startProxy({ sidecars: [{ name: 'slurm', url: `unix:${socket}` }] });
    for (let count = 0; count < 2; count++) {
      const answer = await ask('/pinglink', bearer(token));
      expect(answer).toMatchObject({ status: 503, text: 'sidecar slurm: does not exist; is the server running?' });
    }
    const late = createHttpServer(
      { name: 's', address: { kind: 'unix', path: socket }, handler: serveSidecar(memory, { logger }), drainMs: 200 },
      { logger: silentLogger, clock: systemClock },
    );
    resources.use(await running(late));
    for (let count = 0; count < 2; count++) expect((await ask('/pinglink', bearer(token))).status).toBe(200);
    const messages = logger.lines.filter(({ fields }) => fields.sidecar === 'slurm').map(({ message }) => message);
    expect(messages).toEqual(['sidecar cannot be reached', 'sidecar is back']);
  });

  it('answers 503, not 401, while the issuer has never been reached', async () => {
    const token = await issuer.token(member, AUDIENCE);
    issuer.down = true;
    try {
      proxy = await startProxy();
      expect(await ask('/pinglink', bearer(token))).toMatchObject({ status: 503, challenge: undefined });
      expect(await lastAudit()).toMatchObject({ decision: 'deny', status: 503, code: 'oauth.keys' });
    } finally {
      issuer.down = false;
    }
  });

  it('lets one identity have only so many streams, and gives them back', async () => {
    proxy = await startProxy({ maxStreamsPerIdentity: 1 });
    const token = await issuer.token(member, AUDIENCE);
    const headers = bearer(token);
    const first = await openStream('/watch', headers);
    expect((await ask('/watch', headers, '', 'GET')).status).toBe(429);
    expect(await lastAudit()).toMatchObject({ decision: 'deny', status: 429, subject: 'vk' });
    first.close();
    await expect.poll(async () => (await openStream('/watch', headers)).status, { timeout: 5_000 }).toBe(200);
  });

  it('admits by subject where the issuer has no groups', async () => {
    proxy = await startProxy({ issuers: [{ issuer: issuer.url, audiences: [AUDIENCE], allowedSubjects: ['guest'] }] });
    expect((await ask('/pinglink', bearer(await issuer.token(stranger, AUDIENCE)))).status).toBe(200);
    expect((await ask('/pinglink', bearer(await issuer.token(member, AUDIENCE)))).status).toBe(403);
  });

  it('warns at every start that it lets everybody in', async () => {
    await startProxy({
      listen: `unix:${join(directory, 'open.sock')}`,
      certFile: undefined,
      keyFile: undefined,
      issuers: [],
      insecureNoAuthentication: true,
    });
    expect(logger.lines).toContainEqual(
      expect.objectContaining({ level: 'warn', message: expect.stringContaining('no authentication') }),
    );
  });

  it('writes the audit to a file that others cannot read', async () => {
    const { stat } = await import('node:fs/promises');
    expect((await stat(join(directory, 'audit.log'))).mode & 0o777).toBe(0o600);
  });

  it('does not start when the audit cannot be written', async () => {
    await expect(startProxy({ auditFile: directory })).rejects.toThrow(/audit file .*EISDIR/);
  });
});

function raw(bytes: string): Promise<string> {
  return new Promise((resolve, reject) => {
    if (proxy.address.kind !== 'tcp') return reject(new Error('no TCP address'));
    const socket = connect({ port: proxy.address.port, host: '127.0.0.1', rejectUnauthorized: false }, () =>
      socket.write(bytes),
    );
    let text = '';
    socket.setEncoding('latin1').on('data', (chunk: string) => {
      text += chunk;
    });
    socket.once('close', () => resolve(text));
    socket.once('error', reject);
  });
}

function openStream(
  path: string,
  headers: Record<string, string>,
): Promise<{ readonly status: number; close(): void }> {
  return new Promise((resolve, reject) => {
    if (proxy.address.kind !== 'tcp') return reject(new Error('no TCP address'));
    const sent = httpsRequest(
      { host: '127.0.0.1', port: proxy.address.port, path, headers, rejectUnauthorized: false, agent: false },
      (response) => {
        response.on('error', () => {});
        resources.defer(() => void sent.destroy());
        response.once('data', () => resolve({ status: response.statusCode ?? 0, close: () => sent.destroy() }));
      },
    );
    sent.once('error', reject);
    sent.end();
  });
}
