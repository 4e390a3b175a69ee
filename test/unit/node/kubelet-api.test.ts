import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { request as httpsRequest } from 'node:https';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { systemClock } from '../../../src/base/clock.ts';
import { InterlinkError } from '../../../src/base/errors.ts';
import { silentLogger } from '../../../src/base/logger.ts';
import type { HttpServer } from '../../../src/http/http-server.ts';
import { tlsFileSource } from '../../../src/http/tls-source.ts';
import { createKubeClient } from '../../../src/kube/client.ts';
import type { KubeClient } from '../../../src/kube/kube-client.ts';
import type { ContainerStatus, Pod } from '../../../src/kube/types.ts';
import type { ClientAuthority } from '../../../src/node/client-authority.ts';
import { createKubeletApi } from '../../../src/node/kubelet-api.ts';
import { createKubeletAuth } from '../../../src/node/kubelet-auth.ts';
import { createKubeletServer } from '../../../src/node/kubelet-server.ts';
import { FakeKubeApi } from '../../fakes/fake-kube-api.ts';
import { MemorySidecar } from '../../fakes/memory-sidecar.ts';
import { running, temporaryDirectory } from '../../fakes/running.ts';

interface Answer {
  readonly status: number;
  readonly text: string;
  readonly headers: Record<string, unknown>;
}

interface Caller {
  readonly certificate?: string;
  readonly token?: string;
  readonly method?: string;
}

const UID = '0b5a5a1e-1111-4111-8111-000000000001';

let pki: Awaited<ReturnType<typeof temporaryDirectory>>;
let api: FakeKubeApi;
let kube: KubeClient;
let sidecar: MemorySidecar;
let pods: Pod[];
let healthy: boolean;
let server: HttpServer & AsyncDisposable;
let port: number;
/** Attributes of the access reviews. */
let asked: Record<string, unknown>[];
let granted: (attributes: Record<string, unknown>) => boolean;

/** Certificates by openssl: an authority of the cluster, another one, and clients of both. */
function makePki(directory: string): void {
  const openssl = (...args: string[]): void => {
    execFileSync('openssl', args, { cwd: directory, stdio: 'ignore' });
  };
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];
  for (const ca of ['ca', 'other-ca'])
    openssl('req', '-x509', ...key, '-days', '2', '-subj', `/CN=${ca}`, '-keyout', `${ca}.key`, '-out', `${ca}.crt`);
  const sign = (name: string, subject: string, ca: string, use: string): void => {
    openssl(
      'req',
      '-new',
      ...key,
      '-subj',
      subject,
      '-addext',
      `extendedKeyUsage=${use}`,
      '-addext',
      'subjectAltName=IP:127.0.0.1',
      '-keyout',
      `${name}.key`,
      '-out',
      `${name}.csr`,
    );
    openssl(
      'x509',
      '-req',
      '-in',
      `${name}.csr`,
      '-CA',
      `${ca}.crt`,
      '-CAkey',
      `${ca}.key`,
      '-CAcreateserial',
      '-days',
      '2',
      '-copy_extensions',
      'copyall',
      '-out',
      `${name}.crt`,
    );
  };
  sign('server', '/O=system:nodes/CN=system:node:n', 'ca', 'serverAuth');
  sign('apiserver', '/O=masters/O=more/CN=apiserver', 'ca', 'clientAuth');
  sign('stranger', '/O=masters/CN=apiserver', 'other-ca', 'clientAuth');
  sign('wrong-use', '/O=masters/CN=apiserver', 'ca', 'serverAuth');
  sign('nameless', '/O=masters', 'ca', 'clientAuth');
  sign('two-names', '/CN=apiserver/CN=admin', 'ca', 'clientAuth');
}

const pem = (name: string): string => readFileSync(join(pki.path, name), 'utf8');

function call(
  path: string,
  { certificate, token, method = 'GET' }: Caller = { certificate: 'apiserver' },
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const request = httpsRequest({
      host: '127.0.0.1',
      port,
      path,
      method,
      ca: pem('ca.crt'),
      agent: false,
      ...(certificate === undefined ? {} : { cert: pem(`${certificate}.crt`), key: pem(`${certificate}.key`) }),
      headers: token === undefined ? {} : { authorization: `Bearer ${token}` },
    });
    request.on('error', reject);
    request.on('response', (response) => {
      text(response).then(
        (body) => resolve({ status: response.statusCode ?? 0, text: body, headers: response.headers }),
        reject,
      );
    });
    request.end();
  });
}

function containerStatus(state: ContainerStatus['state'], lastState?: ContainerStatus['state']): ContainerStatus {
  return {
    name: 'c',
    image: 'x',
    imageID: '',
    ready: false,
    restartCount: 0,
    ...(state === undefined ? {} : { state }),
    ...(lastState === undefined ? {} : { lastState }),
  };
}

function pod(...containerStatuses: ContainerStatus[]): Pod {
  return {
    metadata: { namespace: 'ns', name: 'p', uid: UID, labels: { a: 'b' } },
    spec: {
      containers: [{ name: 'c', image: 'x', env: [{ name: 'PASSWORD', value: 's3cret' }] }],
      initContainers: [{ name: 'i' }],
    },
    status: { containerStatuses },
  };
}

beforeAll(async () => {
  pki = await temporaryDirectory();
  makePki(pki.path);
});

afterAll(async () => {
  await pki[Symbol.asyncDispose]();
});

beforeEach(async () => {
  api = await FakeKubeApi.start();
  asked = [];
  granted = () => true;
  api.authorize = (spec) => {
    asked.push(spec);
    return granted(Object(spec.resourceAttributes));
  };
  api.authenticate = (token) => (token === 'good' ? { username: 'monitor', groups: ['g'], uid: '1' } : undefined);
  kube = createKubeClient({
    connection: api.connection(),
    clock: systemClock,
    logger: silentLogger,
    userAgent: 'test',
  });
  sidecar = new MemorySidecar();
  pods = [pod()];
  healthy = true;
  const deps = { kube, clock: systemClock, logger: silentLogger };
  const files = { certFile: join(pki.path, 'server.crt'), keyFile: join(pki.path, 'server.key') };
  const authority: ClientAuthority = {
    name: 'authority',
    ready: Promise.resolve(),
    pem: pem('ca.crt'),
    changed: new Promise(() => {}),
    run: async () => {},
  };
  server = await running(
    createKubeletServer(
      {
        clock: systemClock,
        logger: silentLogger,
        certificate: tlsFileSource(files, systemClock),
        certificateReady: Promise.resolve(),
        authority,
        handler: createKubeletApi({
          auth: createKubeletAuth(deps, { nodeName: 'n' }),
          pods: {
            pods: () => pods,
            findPod: (namespace, name) =>
              pods.find(({ metadata }) => metadata?.namespace === namespace && metadata.name === name),
          },
          sidecar,
          isHealthy: () => healthy,
        }),
      },
      { address: '127.0.0.1', port: 0 },
    ),
  );
  port = server.address.kind === 'tcp' ? server.address.port : 0;
});

afterEach(async () => {
  await server[Symbol.asyncDispose]();
  kube[Symbol.dispose]();
  await api[Symbol.asyncDispose]();
});

describe('who may call the kubelet API', () => {
  it.each<[string, Caller]>([
    ['nobody', {}],
    ['an unknown token', { token: 'bad' }],
    ['a certificate of another authority', { certificate: 'stranger' }],
    ['a certificate that is not for clients', { certificate: 'wrong-use' }],
    ['a certificate without a name', { certificate: 'nameless' }],
    ['a certificate with two names', { certificate: 'two-names' }],
  ])('refuses %s with 401 on every path', async (_, caller) => {
    for (const path of ['/pods', '/containerLogs/ns/p/c', '/healthz', '/exec/ns/p/c', '/nothing'])
      expect(await call(path, caller)).toMatchObject({ status: 401, text: 'Unauthorized' });
    expect(asked).toEqual([]);
  });

  it('takes user and groups from a certificate', async () => {
    expect((await call('/healthz')).status).toBe(200);
    expect(asked[0]).toMatchObject({
      user: 'apiserver',
      groups: ['masters', 'more', 'system:authenticated'],
      resourceAttributes: { verb: 'get', resource: 'nodes', subresource: 'healthz', name: 'n' },
    });
  });

  it('takes the user from a token that the cluster confirms, and asks once for many calls', async () => {
    for (let i = 0; i < 3; i++) expect((await call('/pods', { token: 'good' })).status).toBe(200);
    expect(asked).toMatchObject([{ user: 'monitor', groups: ['g'], uid: '1' }]);
    expect(api.requests.filter(({ path }) => path.endsWith('tokenreviews'))).toHaveLength(1);
  });

  it.each([
    ['/pods', 'GET', 'get', ['pods', 'proxy']],
    ['/runningpods/', 'GET', 'get', ['pods', 'proxy']],
    ['/healthz', 'GET', 'get', ['healthz', 'proxy']],
    ['/healthz/ping', 'GET', 'get', ['healthz', 'proxy']],
    ['/configz', 'GET', 'get', ['configz', 'proxy']],
    ['/stats/summary', 'GET', 'get', ['stats']],
    ['/metrics/resource', 'GET', 'get', ['metrics']],
    ['/logs/x', 'GET', 'get', ['log']],
    ['/containerLogs/ns/p/c', 'GET', 'get', ['proxy']],
    ['/pods', 'POST', 'create', ['pods', 'proxy']],
    ['/exec/ns/p/c', 'GET', 'create', ['proxy']],
    ['/%65xec/ns/p/c', 'GET', 'create', ['proxy']],
    ['/attach/ns/p/c', 'GET', 'create', ['proxy']],
    ['/portForward/ns/p', 'POST', 'create', ['proxy']],
    ['/run/ns/p/c', 'GET', 'create', ['proxy']],
  ])(
    'asks for %s by %s whether the caller may %s %j, the narrow right first',
    async (path, method, verb, subresources) => {
      granted = () => false;
      const { status, text } = await call(path, { certificate: 'apiserver', method });
      expect(asked.map(({ resourceAttributes }) => resourceAttributes)).toEqual(
        subresources.map((subresource) => ({ verb, version: 'v1', resource: 'nodes', subresource, name: 'n' })),
      );
      expect(status).toBe(403);
      expect(text).toBe(
        `Forbidden (user=apiserver, verb=${verb}, resource=nodes, subresource(s)=[${subresources.join(' ')}])`,
      );
    },
  );

  it('lets in who has only the narrow right', async () => {
    granted = ({ subresource }) => subresource === 'pods';
    expect((await call('/pods')).status).toBe(200);
    expect((await call('/containerLogs/ns/p/c')).status).toBe(403);
  });

  it('says no, not yes, and not 403, when the API server cannot be asked', async () => {
    api.fail(() => true, { kind: 'status', status: 403 }, 100);
    expect(await call('/pods')).toMatchObject({ status: 503 });
    expect(await call('/pods', { token: 'good' })).toMatchObject({ status: 503 });
  });
});

describe('kubelet API', () => {
  it('streams a log and ends it with the container', async () => {
    await sidecar.create(
      { pod: pods[0] ?? {}, configMaps: [], secrets: [], projectedVolumes: [] },
      { signal: AbortSignal.timeout(5_000) },
    );
    sidecar.start(UID);
    sidecar.write(UID, 'c', 'one', 'two', 'three');
    expect(await call('/containerLogs/ns/p/c')).toMatchObject({ status: 200, text: 'one\ntwo\nthree\n' });
    expect((await call('/containerLogs/ns/p/c?tailLines=1')).text).toBe('three\n');
    expect((await call('/containerLogs/ns/p/c?tail=2')).text).toBe('two\nthree\n');
    expect((await call('/containerLogs/ns/p/c?tail=all&tailLines=1')).text).toBe('one\ntwo\nthree\n');
    expect((await call('/containerLogs/ns/p/c?tailLines=0')).text).toBe('');
    expect((await call('/containerLogs/ns/p/c?limitBytes=5')).text).toBe('one\nt');
    const follow = call('/containerLogs/ns/p/c?follow=true&stream=All');
    setTimeout(() => {
      sidecar.write(UID, 'c', 'four');
      sidecar.finish(UID);
    }, 20);
    expect((await follow).text).toBe('one\ntwo\nthree\nfour\n');
  });

  it('passes every option on and stops asking when the client goes', async () => {
    const stopped = Promise.withResolvers<void>();
    let options: unknown;
    sidecar.logs = async (request, { signal }) => {
      options = request.options;
      signal.addEventListener('abort', () => stopped.resolve());
      return (async function* () {
        yield Buffer.from('x');
        await stopped.promise;
      })();
    };
    const request = httpsRequest({
      host: '127.0.0.1',
      port,
      path: '/containerLogs/ns/p/c?follow=1&timestamps&previous=FALSE&sinceTime=2026-11-25T12:00:00.5%2B01:00&tailLines=7&limitBytes=9',
      ca: pem('ca.crt'),
      cert: pem('apiserver.crt'),
      key: pem('apiserver.key'),
      agent: false,
    });
    request.on('error', () => {});
    request.on('response', (response) => response.once('data', () => request.destroy()));
    request.end();
    await stopped.promise;
    expect(options).toEqual({
      follow: true,
      timestamps: true,
      previous: false,
      sinceTime: '2026-11-25T12:00:00.5+01:00',
      tailLines: 7,
      limitBytes: 9,
    });
  });

  it.each([
    ['tailLines=-2', 422, /^Invalid request: tailLines/],
    ['limitBytes=0', 422, /^Invalid request: limitBytes/],
    ['sinceSeconds=0', 422, /^Invalid request: sinceSeconds/],
    ['sinceSeconds=5&sinceTime=2026-11-25T12:00:00Z', 422, /at most one of/],
    ['stream=Stdout', 422, /stream/],
    ['tailLines=x', 400, /^Unable to decode query: tailLines="x"/],
    ['tailLines=1.5', 400, /decode/],
    ['tailLines=99999999999999999999', 400, /decode/],
    ['sinceTime=yesterday', 400, /decode/],
    ['sinceTime=2026-13-45T12:00:00Z', 400, /decode/],
  ])('refuses %s with %i', async (query, status, text) => {
    const answer = await call(`/containerLogs/ns/p/c?${query}`);
    expect(answer.status).toBe(status);
    expect(answer.text).toMatch(text);
  });

  const container = 'container "c" in pod "p"';
  const ended = { exitCode: 0, containerID: 'interlink://1' };
  it.each<[string, ContainerStatus[], string, string]>([
    [
      'creating',
      [containerStatus({ waiting: { reason: 'ContainerCreating' } })],
      '',
      `${container} is waiting to start: ContainerCreating`,
    ],
    [
      'queued',
      [containerStatus({ waiting: { reason: 'Queued' } })],
      '?follow=true',
      `${container} is waiting to start: Queued`,
    ],
    ['without a reason', [containerStatus({ waiting: {} })], '', `${container} is waiting to start - no logs yet`],
    [
      'without its image',
      [containerStatus({ waiting: { reason: 'ErrImagePull' } })],
      '',
      `${container} is waiting to start: image can't be pulled`,
    ],
    [
      'still without its image',
      [containerStatus({ waiting: { reason: 'ImagePullBackOff' } })],
      '',
      `${container} is waiting to start: trying and failing to pull image`,
    ],
    ['not in the status yet', [], '', `${container} is not available`],
    [
      'ended without having started',
      [containerStatus({ terminated: { exitCode: 128 } })],
      '',
      `${container} is terminated`,
    ],
    [
      'asked for one before the first',
      [containerStatus({ terminated: ended })],
      '?previous=true',
      `previous terminated ${container} not found`,
    ],
  ])("answers 400 in a kubelet's words for a container that is %s", async (_, statuses, query, text) => {
    pods = [pod(...statuses)];
    expect(await call(`/containerLogs/ns/p/c${query}`)).toMatchObject({ status: 400, text });
  });

  it('gives the words of the site when the status says that there should be a log', async () => {
    pods = [pod(containerStatus({ terminated: ended }))];
    sidecar.fail('logs', new InterlinkError('NotFound', 'the log was removed after 7 days'));
    expect(await call('/containerLogs/ns/p/c')).toMatchObject({
      status: 404,
      text: 'the log was removed after 7 days',
    });
  });

  it('says that the site is away, not that there is no log', async () => {
    sidecar.fail('logs', new InterlinkError('Unavailable', 'the site does not answer'));
    expect(await call('/containerLogs/ns/p/c')).toMatchObject({ status: 503, text: 'the site does not answer' });
  });

  it('keeps the text of foreign errors to itself', async () => {
    sidecar.fail('logs', new Error('secret detail'));
    const answer = await call('/containerLogs/ns/p/c');
    expect(answer.status).toBe(500);
    expect(answer.text).not.toContain('secret detail');
  });

  it('cuts the connection when a log breaks off, so that nobody takes it for whole', async () => {
    sidecar.logs = async () =>
      (async function* () {
        yield Buffer.from('begin');
        throw new InterlinkError('Unavailable', 'site lost');
      })();
    await expect(call('/containerLogs/ns/p/c')).rejects.toThrow();
  });

  it.each([
    ['/containerLogs/ns/nopod/c', 'pod "nopod" does not exist'],
    ['/containerLogs/other/p/c', 'pod "p" does not exist'],
    ['/containerLogs/ns/p/none', 'container "none" not found in pod "p"'],
    ['/containerLogs/ns/p', '404 page not found'],
    ['/containerLogs/ns/p/c/d', '404 page not found'],
    ['/', '404 page not found'],
    ['/healthz/none', '404 page not found'],
    ['/%zz', '404 page not found'],
  ])('answers 404 for %s', async (path, text) => {
    expect(await call(path)).toMatchObject({ status: 404, text });
  });

  it.each(['POST', 'PUT', 'DELETE'])('answers 405 with the methods that are served for %s', async (method) => {
    const { status, headers } = await call('/pods', { certificate: 'apiserver', method });
    expect([status, headers.allow]).toEqual([405, 'GET']);
  });

  it.each(['/exec/ns/p/c', '/exec/ns/p/uid/c', '/attach/ns/p/c', '/portForward/ns/p'])(
    'answers 501 with a sentence for %s',
    async (path) => {
      const answer = await call(path, { certificate: 'apiserver', method: 'POST' });
      expect(answer).toMatchObject({ status: 501, text: expect.stringMatching(/is not supported by this version/) });
    },
  );

  it('lists pods whole, and running ones without their environment', async () => {
    pods = [pod(containerStatus({ running: {} })), { metadata: { name: 'q', namespace: 'ns' } }];
    expect(JSON.parse((await call('/pods')).text)).toMatchObject({ kind: 'PodList', items: pods });
    const list = (await call('/runningpods/')).text;
    expect(JSON.parse(list)).toMatchObject({ kind: 'PodList', items: [{ metadata: { name: 'p', uid: UID } }] });
    expect(list).not.toContain('s3cret');
  });

  it('tells its health', async () => {
    expect(await call('/healthz')).toMatchObject({ status: 200, text: 'ok' });
    healthy = false;
    expect((await call('/healthz')).status).toBe(500);
    expect((await call('/healthz/syncloop')).status).toBe(500);
    expect((await call('/healthz/ping')).status).toBe(200);
  });
});
