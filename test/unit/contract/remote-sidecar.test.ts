import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { Secret } from '../../../src/base/secret.ts';
import { createRemoteSidecar, type RemoteSidecarOptions } from '../../../src/contract/remote-sidecar.ts';
import type { Sidecar, WatchEvent } from '../../../src/contract/sidecar.ts';
import { createBundle, createPod } from '../../fakes/bundle.ts';
import { FakeClock } from '../../fakes/fake-clock.ts';

interface Asked {
  readonly method: string;
  readonly path: string;
  readonly headers: NodeJS.Dict<string | string[]>;
  readonly body: string;
}

type Answerer = (asked: Asked, response: ServerResponse, request: IncomingMessage) => void;

let server: Server | undefined;
let asked: Asked[] = [];
const clock = new FakeClock();
const call = { signal: new AbortController().signal };
const pod = createPod();
const uid = pod.metadata?.uid ?? '';
const bundle = createBundle(pod);
const log = { namespace: 'default', name: pod.metadata?.name ?? '', uid, container: 'main' };

/** A peer that answers what the test says and remembers what it was asked; 404 for `/capabilities`, as existing peers do, unless it is one of ours. */
async function peer(answer: Answerer, options: Partial<RemoteSidecarOptions> = {}, legacy = true): Promise<Sidecar> {
  asked = [];
  server = createServer((request, response) => {
    let body = '';
    request.setEncoding('utf8').on('data', (chunk: string) => {
      body += chunk;
    });
    request.on('end', () => {
      const { method = '', url = '', headers } = request;
      if (url === '/capabilities' && legacy) return void response.writeHead(404).end('404 page not found\n');
      const entry = { method, path: url, headers, body };
      asked.push(entry);
      answer(entry, response, request);
    });
  });
  await new Promise<void>((resolve) => server?.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return createRemoteSidecar({
    address: { kind: 'tcp', tls: false, host: '127.0.0.1', port },
    codec: 'plugin',
    clock,
    ...options,
  });
}

const reply =
  (status: number, body = '', headers: Record<string, string> = {}): Answerer =>
  (_asked, response) =>
    void response.writeHead(status, headers).end(body);
const created = JSON.stringify({ PodUID: uid, PodJID: '7' });

afterEach(() => {
  server?.closeAllConnections();
  server?.close();
});

describe('a remote sidecar', () => {
  it('calls an API server and a plugin each in its own way', async () => {
    const api = await peer(
      (entry, response) =>
        void response.end(entry.path === '/create' ? created : entry.path === '/status' ? '[]' : 'x'),
      {
        codec: 'api',
        token: async () => new Secret('t0ken\n'),
      },
    );
    await api.create(bundle, { ...call, session: 'CreatePod#1' });
    await api.delete(pod, call);
    await api.status([pod], call);
    await api.ping(call);
    for await (const _chunk of await api.logs({ ...log, options: {} }, call));
    expect(asked.map(({ method, path, body }) => [method, path, body.slice(0, 7)])).toEqual([
      ['POST', '/create', '{"pod":'],
      ['DELETE', '/delete', '{"metad'],
      ['GET', '/status', '[{"meta'],
      ['POST', '/pinglink', ''],
      ['GET', '/getLogs', '{"Names'],
    ]);
    expect(asked[0]?.headers).toMatchObject({
      authorization: 'Bearer t0ken',
      'content-type': 'application/json',
      'interlink-http-session': 'CreatePod#1',
    });

    const plugin = await peer((entry, response) => void response.end(entry.path === '/create' ? created : '[]'));
    await plugin.create(bundle, call);
    await plugin.delete(pod, call);
    await plugin.ping(call);
    expect(asked.map(({ method, path, body }) => [method, path, body.slice(0, 7)])).toEqual([
      ['POST', '/create', '{"pod":'],
      ['POST', '/delete', '{"metad'],
      ['GET', '/status', '[]'],
    ]);
    expect(asked[0]?.headers.authorization).toBeUndefined();
  });

  it.each(['api', 'plugin'] as const)('shows image pull secrets to peers of our kind only (%s)', async (codec) => {
    const secret = { metadata: { name: 'registry' }, data: { '.dockerconfigjson': 'c2VjcmV0' } };
    const answer: Answerer = (entry, response) =>
      void response.end(
        entry.path === '/create'
          ? created
          : JSON.stringify({ apiVersion: 'interlink/v1', name: 'interlink', version: '1', capabilities: [] }),
      );
    for (const legacy of [true, false]) {
      const sidecar = await peer(answer, { codec }, legacy);
      await sidecar.create({ ...bundle, imagePullSecrets: [secret] }, call);
      const body = asked.find(({ path }) => path === '/create')?.body ?? '';
      expect(JSON.parse(body).imagePullSecrets).toEqual(legacy ? undefined : [secret]);
      expect(body.includes('c2VjcmV0')).toBe(!legacy);
      await sidecar[Symbol.asyncDispose]?.();
    }
  });

  it.each([200, 201, 202])('takes %i for success', async (status) => {
    const sidecar = await peer(reply(status, created));
    expect(await sidecar.create(bundle, call)).toEqual({ uid, jobId: '7' });
  });

  it.each([
    [
      'a page of HTML',
      200,
      '<!DOCTYPE html><html><body><h1>Welcome to nginx!</h1></body></html>',
      /something else than the contract says.*Welcome to nginx!/,
    ],
    ['nothing', 200, '', /empty, expected JSON/],
    ['half a document', 200, '{"PodUID":"x', /not valid JSON/],
    ['an error text with 200', 200, 'sbatch: error: invalid partition', /sbatch: error: invalid partition/],
    ['another pod', 200, '{"PodUID":"other","PodJID":"1"}', /PodUID: expected/],
    ['a list of two', 200, `[${created},${created}]`, /expected one element, got 2/],
    ['204 and nothing', 204, '', /empty, expected JSON/],
    ['500 and a text', 500, 'sbatch: error: socket timed out', /answered 500: sbatch: error: socket timed out/],
    [
      '500 in the frame of the API server',
      500,
      'HTTP InterLink session CreatePod#1:  call exit status: 500. Body: partition &#34;gpu&#34; is down',
      /answered 500: partition "gpu" is down$/,
    ],
    [
      '502 of a proxy between',
      502,
      '<html><head><title>502 Bad Gateway</title></head></html>',
      /answered 502: 502 Bad Gateway/,
    ],
    [
      '400 of a web server between',
      400,
      '<html><body>plain HTTP request was sent to HTTPS port</body></html>',
      /answered 400: plain HTTP request.*something else between/,
    ],
    [
      '413 of a web server between',
      413,
      '<html><h1>413 Request Entity Too Large</h1></html>',
      /something else between/,
    ],
    ['400 without a word', 400, '', /something else between/],
    ['404 of a stranger', 404, '404 page not found', /no interLink peer, check the address/],
    ['405 of a stranger', 405, 'Method Not Allowed', /no interLink peer/],
    ['a redirect', 302, '', /redirected \(302\), which is not followed/],
  ])('takes %s for Unavailable and quotes it', async (_name, status, body, message) => {
    const sidecar = await peer(reply(status, body, status === 302 ? { location: 'http://169.254.169.254/' } : {}));
    await expect(sidecar.create(bundle, call)).rejects.toMatchObject({
      kind: 'Unavailable',
      message: expect.stringMatching(message),
    });
  });

  it.each([
    [400, 'Invalid'],
    [401, 'Unauthenticated'],
    [403, 'Forbidden'],
    [409, 'Conflict'],
    [413, 'TooLarge'],
    [422, 'Invalid'],
    [429, 'TooManyRequests'],
    [503, 'Unavailable'],
    [504, 'DeadlineExceeded'],
  ])('means by %i %s', async (status, kind) => {
    const sidecar = await peer(reply(status, 'the words of the peer'), { createFormat: 'object' });
    await expect(sidecar.create(bundle, call)).rejects.toMatchObject({ kind });
  });

  it('tells what the provider of identities complains about', async () => {
    const sidecar = await peer(
      reply(401, '', { 'www-authenticate': 'Bearer error="invalid_token", error_description="the token has expired"' }),
    );
    await expect(sidecar.ping(call)).rejects.toThrow(/check the token file and the audience: the token has expired/);
  });

  it('finds out that a plugin of before 0.5 wants a list, and remembers it', async () => {
    const sidecar = await peer((entry, response) => {
      if (entry.body.startsWith('[')) response.end(created);
      else response.writeHead(422).end('{"detail":[{"msg":"Input should be a valid list"}]}');
    });
    await sidecar.create(bundle, call);
    await sidecar.create(bundle, call);
    expect(asked.map(({ body }) => body[0])).toEqual(['{', '[', '[']);
  });

  it('does not try a list when the configuration says object', async () => {
    const sidecar = await peer(reply(422, 'Input should be a valid list'), { createFormat: 'object' });
    await expect(sidecar.create(bundle, call)).rejects.toMatchObject({ kind: 'Invalid' });
    expect(asked).toHaveLength(1);
  });

  it('counts a plugin of the Python kit as alive that crashes on a ping', async () => {
    const sidecar = await peer((entry, response) => {
      if (entry.path === '/openapi.json') response.end('{}');
      else response.writeHead(500).end('Internal Server Error');
    });
    expect(await sidecar.ping(call)).toEqual({ status: 'ok' });
  });

  it('does not count a plugin as alive that crashes on everything', async () => {
    const sidecar = await peer(reply(500, 'Internal Server Error'));
    await expect(sidecar.ping(call)).rejects.toMatchObject({ kind: 'Unavailable' });
  });

  it('asks for many pods in few requests of bounded size, and never for none', async () => {
    const sidecar = await peer((_entry, response) => void response.end('null'));
    const big = Array.from({ length: 100 }, () =>
      createPod(({ metadata }) => Object.assign(metadata ?? {}, { annotations: { x: 'x'.repeat(50_000) } })),
    );
    expect(await sidecar.status(big, call)).toEqual([]);
    expect(asked.length).toBe(3);
    expect(Math.max(...asked.map(({ body }) => body.length))).toBeLessThan(2.2 * 1024 * 1024);
    expect(await sidecar.status([], call)).toEqual([]);
    expect(asked.length).toBe(3);
  });

  it('leaves out pods that nobody asked for', async () => {
    const answer = [uid, createPod().metadata?.uid].map((id) => ({
      name: 'p',
      UID: id,
      namespace: 'default',
      containers: [{ name: 'main', state: {} }],
    }));
    const sidecar = await peer(reply(200, JSON.stringify(answer)));
    expect((await sidecar.status([pod], call)).map((status) => status.uid)).toEqual([uid]);
  });

  it('repeats a call whose kept connection broke, but no create that could run twice', async () => {
    // Injected: the peer closes each connection after it has read the request for the first time.
    let broken = 0;
    const flaky: Answerer = (entry, response, request) => {
      if (asked.filter(({ path }) => path === entry.path).length === 1) {
        broken += 1;
        request.socket.destroy();
      } else response.end(entry.path === '/create' ? created : '[]');
    };
    const sidecar = await peer(flaky);
    expect(await sidecar.status([pod], call)).toEqual([]);
    expect(broken).toBe(1);
    await expect(sidecar.create(bundle, call)).rejects.toMatchObject({
      kind: 'Unavailable',
      code: 'http.client.broken',
    });
    expect(asked.filter(({ path }) => path === '/create')).toHaveLength(1);
  });

  it('passes logs on as they come and stops the peer when the reader leaves', async () => {
    const closed = Promise.withResolvers<void>();
    const sidecar = await peer((_entry, response) => {
      response.write('one\n');
      response.once('close', () => closed.resolve());
    });
    for await (const chunk of await sidecar.logs({ ...log, options: { follow: true } }, call)) {
      expect(String(chunk)).toBe('one\n');
      break;
    }
    await closed.promise;
  });

  it('passes the refusal of a log on as it is', async () => {
    const sidecar = await peer(reply(404, 'no such container'));
    await expect(sidecar.logs({ ...log, options: {} }, call)).rejects.toMatchObject({ kind: 'NotFound' });
  });

  it('has no watch on a legacy peer, so that the caller polls', async () => {
    const sidecar = await peer(reply(404));
    await expect(sidecar.watch(call)[Symbol.asyncIterator]().next()).rejects.toMatchObject({ kind: 'Unsupported' });
  });

  it('sends no contents of volumes to a peer that has not declared that it takes them', async () => {
    const sidecar = await peer(reply(200));
    const secrets = [{ metadata: { name: 's' }, data: { k: 'c2VjcmV0' } }];
    const pod = { namespace: 'default', name: 'p', uid };
    const update = { pod, volumes: ['v'], configMaps: [], secrets, projectedVolumes: [] };
    await expect(sidecar.updateVolumes(update, call)).rejects.toMatchObject({ kind: 'Unsupported' });
    expect(asked).toEqual([]);
  });
});

describe('a remote sidecar of ours', () => {
  const document = (...capabilities: string[]) =>
    JSON.stringify({ apiVersion: 'interlink/v1', name: 'x', version: '1', capabilities });

  async function own(answer: Answerer): Promise<Sidecar> {
    return peer(answer, { timeouts: { watchIdleMs: 100 } }, false);
  }

  const read = async (sidecar: Sidecar): Promise<{ events: WatchEvent[]; error: unknown }> => {
    const events: WatchEvent[] = [];
    try {
      for await (const event of sidecar.watch(call)) events.push(event);
    } catch (error) {
      return { events, error };
    }
    return { events, error: undefined };
  };

  it('asks what the peer can once a minute, and again when a call has failed', async () => {
    let now = document('watch');
    const sidecar = await own((entry, response) => {
      if (entry.path === '/capabilities') response.end(now);
      else response.writeHead(503).end('restarting');
    });
    const names = async () => (await sidecar.capabilities(call)).capabilities;
    expect(await names()).toEqual(['watch']);
    now = document();
    expect(await names()).toEqual(['watch']);
    await clock.advance(60_000);
    expect(await names()).toEqual([]);
    now = document('exec');
    await expect(sidecar.ping(call)).rejects.toMatchObject({ kind: 'Unavailable' });
    expect(await names()).toEqual(['exec']);
  });

  it('refuses an answer about capabilities that is none', async () => {
    const sidecar = await own(reply(200, '<html>login</html>'));
    await expect(sidecar.capabilities(call)).rejects.toMatchObject({
      kind: 'Unavailable',
      message: expect.stringContaining('login'),
    });
  });

  it.each([
    ['ends', (response: ServerResponse) => response.end(), 'Unavailable', /ended the watch/],
    ['breaks off', (response: ServerResponse) => response.destroy(), 'Unavailable', /broke the connection off/],
    ['falls silent', () => {}, 'DeadlineExceeded', /fell silent/],
    [
      'sends no JSON',
      (response: ServerResponse) => response.write('oops\n'),
      'Unavailable',
      /watch was answered.*oops/,
    ],
    [
      'sends no status',
      (response: ServerResponse) => response.write('{"type":"STATUS","item":{}}\n'),
      'Unavailable',
      /watch event\.item/,
    ],
  ])('fails when the peer %s, after what came before', async (_name, fault, kind, message) => {
    const sidecar = await own((entry, response) => {
      if (entry.path === '/capabilities') return void response.end(document('watch'));
      response.write('{"type":"SNAPSHOT","items":[]}\n{"type":"HEART');
      response.write('BEAT"}\n\n{"type":"OF TOMORROW"}\n');
      setImmediate(() => fault(response));
    });
    const { events, error } = await read(sidecar);
    expect(events).toEqual([{ type: 'SNAPSHOT', items: [] }, { type: 'HEARTBEAT' }]);
    expect(error).toMatchObject({ kind, message: expect.stringMatching(message) });
  });
});
