import { chmod, lstat, mkdir, writeFile } from 'node:fs/promises';
import { createServer as createHttp } from 'node:http';
import { connect, createServer, type Server } from 'node:net';
import { join } from 'node:path';
import { connect as connectTls } from 'node:tls';
import { describe, expect, it } from 'vitest';
import { systemClock } from '../../../src/base/clock.ts';
import { InterlinkError } from '../../../src/base/errors.ts';
import { silentLogger } from '../../../src/base/logger.ts';
import { type Address, renderAddress } from '../../../src/http/address.ts';
import type { HttpHandler } from '../../../src/http/handler.ts';
import { createHttpClient } from '../../../src/http/http-client.ts';
import { createHttpServer, type HttpServerOptions } from '../../../src/http/http-server.ts';
import { routeTable } from '../../../src/http/route-table.ts';
import { textResponse } from '../../../src/http/text-response.ts';
import { tlsFileSource } from '../../../src/http/tls-source.ts';
import { createCertificate } from '../../fakes/certificate.ts';
import { running, temporaryDirectory } from '../../fakes/running.ts';

const loopback: Address = { kind: 'tcp', tls: false, host: '127.0.0.1', port: 0 };
const deps = { logger: silentLogger, clock: systemClock };
const signal = new AbortController().signal;

function serve(handler: HttpHandler, options: Partial<HttpServerOptions> = {}) {
  return running(createHttpServer({ name: 'test', address: loopback, handler, drainMs: 100, ...options }, deps));
}

async function call(
  address: Address,
  request: { method?: string; path?: string; body?: string; accept?: string } = {},
) {
  await using client = createHttpClient({ address });
  const answer = await client.request({
    method: request.method ?? 'GET',
    path: request.path ?? '/',
    ...(request.body === undefined ? {} : { body: request.body }),
    ...(request.accept === undefined ? {} : { headers: { accept: request.accept } }),
    signal,
  });
  return { status: answer.status, headers: answer.headers, text: String(await answer.bytes(1e6)) };
}

/** Sends bytes as they are and gives everything that comes back until the server closes. */
function raw(address: Address, bytes: string): Promise<string> {
  return new Promise((resolve, reject) => {
    if (address.kind !== 'tcp') return reject(new Error('no TCP address'));
    const socket = connect(address.port, address.host, () => socket.write(bytes));
    let text = '';
    socket.setEncoding('latin1').on('data', (chunk: string) => {
      text += chunk;
    });
    socket.once('close', () => resolve(text));
    socket.once('error', reject);
  });
}

const echo: HttpHandler = async (request) =>
  textResponse(`${request.method} ${request.path} ${request.query} ${await request.body(1000)}`);

describe('http server', () => {
  it('reads a body whatever the method', async () => {
    await using server = await serve(echo);
    expect((await call(server.address, { method: 'GET', path: '/status?a=b', body: '[]' })).text).toBe(
      'GET /status a=b []',
    );
    expect((await call(server.address, { method: 'DELETE', path: '/delete', body: '{}' })).text).toBe(
      'DELETE /delete  {}',
    );
  });

  it('keeps the connection of a GET with a body alive', async () => {
    const ports = new Set<number | undefined>();
    await using server = await serve(async (request) => {
      await request.body(10);
      ports.add(request.socket.remotePort);
      return textResponse('ok');
    });
    await using client = createHttpClient({ address: server.address });
    for (let count = 0; count < 10; count++) {
      const answer = await client.request({ method: 'GET', path: '/', body: '[]', signal });
      await answer.bytes(10);
    }
    // The pool may open a second one while the first is about to become idle.
    expect(ports.size).toBeLessThanOrEqual(2);
  });

  it.each([
    ['text', undefined, 'no such pod'],
    ['JSON', 'application/json', '{"error":{"kind":"NotFound","code":"pod.missing","message":"no such pod"}}'],
  ])('answers an error as %s by its kind', async (_name, accept, text) => {
    await using server = await serve(async () => {
      throw new InterlinkError('NotFound', 'no such pod', { code: 'pod.missing' });
    });
    const answer = await call(server.address, accept === undefined ? {} : { accept });
    expect(answer).toMatchObject({ status: 404, text });
  });

  it('keeps the text of foreign errors to itself', async () => {
    await using server = await serve(async () => {
      throw new Error('password is hunter2');
    });
    const answer = await call(server.address);
    expect(answer.status).toBe(500);
    expect(answer.text).not.toContain('hunter2');
  });

  it('matches paths raw and exactly and refuses methods that a route lacks', async () => {
    await using server = await serve(routeTable({ '/a': { methods: ['GET'], handle: echo } }));
    const statuses: number[] = [];
    for (const path of ['/a', '/a/', '/%61', '//a', '/b/../a', '/A'])
      statuses.push((await call(server.address, { path })).status);
    expect(statuses).toEqual([200, 404, 404, 404, 404, 404]);
    expect((await call(server.address, { path: '/a', method: 'POST' })).status).toBe(405);
  });

  it('refuses a body that is too large, by its header and by counting', async () => {
    await using server = await serve(echo);
    expect((await call(server.address, { body: 'x'.repeat(1001) })).status).toBe(413);
    const chunk = `3e9\r\n${'x'.repeat(1001)}\r\n0\r\n\r\n`;
    const answer = await raw(
      server.address,
      `POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n${chunk}`,
    );
    expect(answer).toMatch(/^HTTP\/1.1 413 /);
  });

  it('refuses compressed bodies with 415', async () => {
    await using server = await serve(echo);
    const answer = await raw(
      server.address,
      'POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Encoding: gzip\r\nContent-Length: 1\r\n\r\nx',
    );
    expect(answer).toMatch(/^HTTP\/1.1 415 /);
  });

  it('refuses a request that has both a length and chunks', async () => {
    await using server = await serve(echo);
    const answer = await raw(
      server.address,
      'POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
    );
    expect(answer).toMatch(/^HTTP\/1.1 400 /);
  });

  it('closes a connection whose request does not arrive in time', async () => {
    // Injected: a client that announces a body and sends nothing of it.
    await using server = await serve(echo, { requestTimeoutMs: 50 });
    const gone = raw(server.address, 'POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\n');
    expect(await gone).toMatch(/^HTTP\/1.1 408 |^$/);
  });

  it('streams chunks as they come and stops the source when the client goes', async () => {
    const stopped = Promise.withResolvers<unknown>();
    await using server = await serve(async (request) => ({
      status: 200,
      body: (async function* () {
        yield Buffer.from('first');
        await new Promise((_resolve, reject) => {
          request.signal.addEventListener('abort', () => {
            stopped.resolve(request.signal.reason);
            reject(request.signal.reason);
          });
        });
      })(),
    }));
    await using client = createHttpClient({ address: server.address });
    const answer = await client.request({ method: 'GET', path: '/', signal, stream: true });
    for await (const chunk of answer.body) {
      expect(String(chunk)).toBe('first');
      break;
    }
    expect(String(await stopped.promise)).toContain('client has gone');
  });

  it('ends streams at once and lets calls finish when it stops', async () => {
    const release = Promise.withResolvers<void>();
    const started = Promise.withResolvers<void>();
    const server = await serve(
      async (request) => {
        if (request.path === '/stream')
          return {
            status: 200,
            body: (async function* () {
              yield Buffer.from('x');
              await new Promise((_resolve, reject) =>
                request.signal.addEventListener('abort', () => reject(request.signal.reason)),
              );
            })(),
          };
        started.resolve();
        await release.promise;
        return textResponse('finished');
      },
      { drainMs: 5_000 },
    );
    await using client = createHttpClient({ address: server.address });
    const stream = await client.request({ method: 'GET', path: '/stream', signal, stream: true });
    const slow = call(server.address, { path: '/slow' });
    await started.promise;
    const stopped = server[Symbol.asyncDispose]();
    await expect(stream.bytes(100)).rejects.toThrow(/broke/);
    release.resolve();
    expect((await slow).text).toBe('finished');
    await stopped;
  });

  it('gives up calls that outlast the drain time', async () => {
    const server = await serve(() => new Promise(() => {}), { drainMs: 20 });
    const hanging = call(server.address);
    const outcome = expect(hanging).rejects.toThrow(/broke the connection off/);
    await new Promise((resolve) => setImmediate(resolve));
    await server[Symbol.asyncDispose]();
    await outcome;
  });

  describe('on a unix socket', () => {
    const handler: HttpHandler = async () => textResponse('ok');

    it('has mode 0600 in a directory 0700 that it makes, and is gone afterwards', async () => {
      await using directory = await temporaryDirectory();
      const path = join(directory.path, 'made', 's.sock');
      {
        await using server = await serve(handler, { address: { kind: 'unix', path } });
        expect((await lstat(path)).mode & 0o777).toBe(0o600);
        expect((await lstat(join(directory.path, 'made'))).mode & 0o777).toBe(0o700);
        expect((await call(server.address)).text).toBe('ok');
      }
      await expect(lstat(path)).rejects.toThrow(/ENOENT/);
    });

    it('leaves the mode of an existing directory alone', async () => {
      await using directory = await temporaryDirectory();
      const shared = join(directory.path, 'shared');
      await mkdir(shared);
      await chmod(shared, 0o755);
      await using _server = await serve(handler, { address: { kind: 'unix', path: join(shared, 's.sock') } });
      expect((await lstat(shared)).mode & 0o777).toBe(0o755);
    });

    it('replaces a socket that a dead process left', async () => {
      await using directory = await temporaryDirectory();
      const path = join(directory.path, 's.sock');
      await staleSocket(path);
      await using server = await serve(handler, { address: { kind: 'unix', path } });
      expect((await call(server.address)).text).toBe('ok');
    });

    it('refuses a path that a living process serves', async () => {
      await using directory = await temporaryDirectory();
      const path = join(directory.path, 's.sock');
      await using _first = await serve(handler, { address: { kind: 'unix', path } });
      await expect(serve(handler, { address: { kind: 'unix', path } })).rejects.toThrow(/served by another process/);
    });

    it('refuses to replace what is no socket', async () => {
      await using directory = await temporaryDirectory();
      const path = join(directory.path, 'precious');
      await writeFile(path, 'data');
      await expect(serve(handler, { address: { kind: 'unix', path } })).rejects.toThrow(/is no socket/);
    });
  });

  it('says what to do when a port is taken', async () => {
    await using first = await serve(echo);
    await expect(serve(echo, { address: first.address })).rejects.toThrow(/is in use; stop the process/);
  });

  describe('with TLS', () => {
    const tlsAddress: Address = { ...loopback, tls: true } as Address;

    it('refuses a certificate on http:// and https:// without one', async () => {
      await using directory = await temporaryDirectory();
      const tls = tlsFileSource(await createCertificate(directory.path), systemClock);
      await expect(serve(echo, { tls })).rejects.toThrow(/no https/);
      await expect(serve(echo, { address: tlsAddress })).rejects.toThrow(/needs a certificate/);
    });

    it('is verified by authority or by pin, and by nothing less', async () => {
      await using directory = await temporaryDirectory();
      const files = await createCertificate(directory.path);
      const other = await createCertificate(directory.path, 'other');
      await using server = await serve(echo, { address: tlsAddress, tls: tlsFileSource(files, systemClock) });
      const ask = async (tls: object) => {
        await using client = createHttpClient({ address: server.address, tls });
        const answer = await client.request({ method: 'GET', path: '/x', signal });
        return String(await answer.bytes(100));
      };
      expect(await ask({ caFile: files.certFile })).toBe('GET /x  ');
      expect(await ask({ fingerprint: files.fingerprint })).toBe('GET /x  ');
      await expect(ask({})).rejects.toThrow(/self-signed; set the CA file/);
      await expect(ask({ caFile: other.certFile })).rejects.toThrow(/self-signed/);
      await expect(ask({ fingerprint: other.fingerprint })).rejects.toThrow(/another one is pinned/);
    });

    it('speaks neither TLS 1.1 nor a suite without authenticated encryption', async () => {
      await using directory = await temporaryDirectory();
      const files = await createCertificate(directory.path);
      await using server = await serve(echo, { address: tlsAddress, tls: tlsFileSource(files, systemClock) });
      const handshake = (options: object) =>
        new Promise<string>((resolve) => {
          if (server.address.kind !== 'tcp') return;
          const socket = connectTls({
            port: server.address.port,
            host: '127.0.0.1',
            rejectUnauthorized: false,
            ...options,
          });
          socket.once('secureConnect', () => {
            resolve(String(socket.getProtocol()));
            socket.destroy();
          });
          socket.once('error', () => resolve('refused'));
        });
      expect(await handshake({})).toBe('TLSv1.3');
      expect(await handshake({ maxVersion: 'TLSv1.2' })).toBe('TLSv1.2');
      expect(await handshake({ minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0' })).toBe(
        'refused',
      );
      expect(await handshake({ maxVersion: 'TLSv1.2', ciphers: 'ECDHE-ECDSA-AES128-SHA' })).toBe('refused');
    });

    it('takes a new certificate up without a restart', async () => {
      await using directory = await temporaryDirectory();
      const [first, second] = [
        await createCertificate(directory.path, 'a'),
        await createCertificate(directory.path, 'b'),
      ];
      const change = Promise.withResolvers<void>();
      let loads = 0;
      const sources = [first, second].map((files) => tlsFileSource(files, systemClock));
      const reloaded = Promise.withResolvers<void>();
      const logger = {
        ...silentLogger,
        child: () => logger,
        info: (text: string) => text === 'certificate reloaded' && reloaded.resolve(),
      };
      const options = {
        name: 'test',
        address: tlsAddress,
        handler: echo,
        drainMs: 100,
        tls: {
          load: () => (sources[loads++] ?? sources[1])?.load() ?? Promise.reject(new Error('none')),
          changed: (stop: AbortSignal) =>
            Promise.race([
              ...(loads === 1 ? [change.promise] : []),
              new Promise<void>((_resolve, reject) => stop.addEventListener('abort', () => reject(stop.reason))),
            ]),
        },
      };
      await using server = await running(createHttpServer(options, { logger, clock: systemClock }));
      const works = async (fingerprint: string) => {
        await using client = createHttpClient({ address: server.address, tls: { fingerprint } });
        return await client.request({ method: 'GET', path: '/', signal }).then(
          (answer) => answer.status,
          () => 0,
        );
      };
      expect(await works(first.fingerprint)).toBe(200);
      change.resolve();
      await reloaded.promise;
      expect(await works(second.fingerprint)).toBe(200);
      expect(await works(first.fingerprint)).toBe(0);
    });
  });
});

describe('http client', () => {
  it.each([
    ['a closed port', 'http://127.0.0.1:1', 'Unavailable', /refuses connections; is it running/],
    ['a missing socket', 'unix:/nonexistent/s.sock', 'Unavailable', /does not exist; is the server running/],
  ])('names %s', async (_name, text, kind, reason) => {
    const { parseAddress } = await import('../../../src/http/address.ts');
    await expect(call(parseAddress(text))).rejects.toMatchObject({
      kind,
      code: 'http.client.unsent',
      message: expect.stringMatching(reason),
    });
  });

  it.each([
    ['silence', '', 'DeadlineExceeded', /did not answer in time/],
    ['silence in the body', 'HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf', 'DeadlineExceeded', /fell silent/],
    ['a broken answer', 'SSH-2.0-OpenSSH_9.2\r\n', 'Unavailable', /127\.0\.0\.1/],
  ])('names %s', async (_name, reply, kind, reason) => {
    const server = createServer((socket) => {
      socket.on('error', () => {});
      if (reply !== '') socket.write(reply);
    });
    const address = await listening(server);
    try {
      await using client = createHttpClient({ address });
      const asked = client
        .request({ method: 'GET', path: '/', signal, headersTimeoutMs: 60, idleTimeoutMs: 60 })
        .then((answer) => answer.bytes(100));
      await expect(asked).rejects.toMatchObject({ kind, message: expect.stringMatching(reason) });
    } finally {
      server.close();
    }
  });

  it('rejects with the reason of the abort', async () => {
    const server = createServer(() => {});
    const address = await listening(server);
    const controller = new AbortController();
    const reason = new Error('enough');
    await using client = createHttpClient({ address });
    const asked = client.request({ method: 'GET', path: '/', signal: controller.signal });
    controller.abort(reason);
    await expect(asked).rejects.toBe(reason);
    server.close();
  });

  it('follows no redirect and caps what it reads', async () => {
    const server = createHttp((_request, response) =>
      response.writeHead(302, { location: 'http://169.254.169.254/' }).end('x'.repeat(100)),
    );
    const address = await listening(server);
    await using client = createHttpClient({ address });
    const answer = await client.request({ method: 'GET', path: '/', signal });
    expect(answer.status).toBe(302);
    await expect(answer.bytes(99)).rejects.toThrow(`${renderAddress(address)}: the answer is larger than 99 bytes`);
    server.close();
  });
});

async function listening(server: Server): Promise<Address> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  return { kind: 'tcp', tls: false, host: '127.0.0.1', port: address.port };
}

/** A socket file without a process: made by a child that is killed. */
async function staleSocket(path: string): Promise<void> {
  const { spawn } = await import('node:child_process');
  const program = `require('node:net').createServer().listen(process.argv[1], () => process.kill(process.pid, 'SIGKILL'))`;
  const child = spawn(process.execPath, ['-e', program, path], { stdio: 'ignore' });
  await new Promise((resolve) => child.once('exit', resolve));
}
