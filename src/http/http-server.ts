import {
  createServer,
  type IncomingMessage,
  type OutgoingHttpHeaders,
  type Server,
  type ServerResponse,
} from 'node:http';
import { createServer as createTlsServer, type Server as TlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { type Duplex, Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { Clock } from '../base/clock.ts';
import { codeOf, InterlinkError, isKind, kindOf, messageOf, systemCodeOf } from '../base/errors.ts';
import type { Logger } from '../base/logger.ts';
import type { Service } from '../base/service.ts';
import { type Address, renderAddress } from './address.ts';
import { errorResponse } from './error-response.ts';
import type { ErrorRenderer, HttpHandler, HttpResponse } from './handler.ts';
import { isStreamBody } from './is-stream-body.ts';
import { listenUnix } from './listen-unix.ts';
import { ServerRequest } from './server-request.ts';
import { startStream } from './start-stream.ts';
import type { TlsMaterial, TlsSource } from './tls-source.ts';

export interface HttpServerOptions {
  /** Names the service in logs. */
  readonly name: string;
  /** Port 0 takes a free one; see {@link HttpServer.address}. */
  readonly address: Address;
  /** The certificate; needed for an address with TLS, refused without. */
  readonly tls?: TlsSource;
  /** Asks clients for a certificate. It is verified against the source's `clientCa`, but a client without one is left to the handler. */
  readonly requestClientCertificate?: boolean;
  readonly handler: HttpHandler;
  readonly renderError?: ErrorRenderer;
  /** Takes over a connection that asks for an upgrade; without it such a request is answered as if it had not asked. */
  readonly onUpgrade?: (message: IncomingMessage, socket: Duplex, head: Buffer) => void;
  /** Above this many connections new ones are closed; 4096 unless given. */
  readonly maxConnections?: number;
  /** Time for a whole request to arrive; 30 s unless given. */
  readonly requestTimeoutMs?: number;
  /** Time that running calls get after the stop; streams end at once. 10 s unless given. */
  readonly drainMs?: number;
}

export interface HttpServerDeps {
  readonly logger: Logger;
  readonly clock: Clock;
}

/** A running server. It answers HTTP/1.1 only. */
export interface HttpServer extends Service {
  /** Where it listens, with the true port; valid once `ready` has resolved. */
  readonly address: Address;
}

/** TLS 1.3 suites and those of TLS 1.2 that are authenticated encryption with forward secrecy. */
const CIPHERS = [
  'TLS_AES_256_GCM_SHA384',
  'TLS_CHACHA20_POLY1305_SHA256',
  'TLS_AES_128_GCM_SHA256',
  'ECDHE-ECDSA-AES256-GCM-SHA384',
  'ECDHE-RSA-AES256-GCM-SHA384',
  'ECDHE-ECDSA-CHACHA20-POLY1305',
  'ECDHE-RSA-CHACHA20-POLY1305',
  'ECDHE-ECDSA-AES128-GCM-SHA256',
  'ECDHE-RSA-AES128-GCM-SHA256',
].join(':');

const HEADERS_TIMEOUT_MS = 10_000;
const REQUEST_TIMEOUT_MS = 30_000;
const CHECK_MS = 5_000;

/**
 * A server as a service: `run` listens, resolves `ready`, and after the abort stops accepting, ends streams, gives other calls `drainMs` and
 * resolves. It fails when the address cannot be had.
 */
export function createHttpServer(options: HttpServerOptions, deps: HttpServerDeps): HttpServer {
  const { address: wanted, tls, handler, renderError = errorResponse, drainMs = 10_000 } = options;
  const logger = deps.logger.child({ component: options.name });
  const ready = Promise.withResolvers<void>();
  // Whoever waits for it sees the failure; `run` throws it in any case.
  ready.promise.catch(() => {});
  const calls = new Set<ServerRequest>();
  const streams = new Set<ServerRequest>();
  let bound = wanted;

  const onRequest = (message: IncomingMessage, response: ServerResponse): void => {
    const request = new ServerRequest(message, response);
    calls.add(request);
    void answer(request, response).finally(() => {
      calls.delete(request);
      streams.delete(request);
    });
  };

  const answer = async (request: ServerRequest, response: ServerResponse): Promise<void> => {
    try {
      let result: HttpResponse;
      try {
        result = await handler(request);
      } catch (error) {
        if (kindOf(error) === 'Internal')
          logger.error('request failed', { method: request.method, path: request.path, err: error });
        result = renderError(error, request);
      }
      if (isStreamBody(result.body)) {
        streams.add(request);
        calls.delete(request);
      }
      await send(result, response);
    } catch (error) {
      // A stream broke after its header was sent: the cut connection is the only way to tell the client.
      response.destroy();
      if (!isKind(error, 'Unavailable') && !isClosedEarly(error))
        logger.warn('answer broken off', { method: request.method, path: request.path, err: error });
    }
  };

  const listen = async (): Promise<Server> => {
    if (wanted.kind === 'tcp' && wanted.tls !== (tls !== undefined))
      throw new InterlinkError(
        'Invalid',
        `${renderAddress(wanted)}: ${wanted.tls ? 'needs a certificate and a key' : 'has a certificate but no https://'}`,
        { code: 'http.tls' },
      );
    const material = await tls?.load();
    const server = material ? createTlsServer(tlsOptions(material, options)) : createServer(checking(options));
    server.on('request', onRequest);
    if (options.onUpgrade) server.on('upgrade', options.onUpgrade);
    server.on('connect', (_message, socket: Duplex) => socket.destroy());
    server.maxConnections = options.maxConnections ?? 4096;
    try {
      if (wanted.kind === 'unix') await listenUnix(server, wanted.path);
      else await listenTcp(server, wanted.host, wanted.port);
    } catch (error) {
      throw describeListenError(error, wanted);
    }
    if (wanted.kind === 'tcp') bound = { ...wanted, port: (server.address() as AddressInfo).port };
    return server;
  };

  const followTls = async (server: TlsServer, source: TlsSource, signal: AbortSignal): Promise<void> => {
    while (!signal.aborted) {
      try {
        await source.changed(signal);
        server.setSecureContext(tlsOptions(await source.load(), options));
        logger.info('certificate reloaded');
      } catch (error) {
        if (!signal.aborted) logger.warn('new certificate not usable, the old one stays', { err: error });
      }
    }
  };

  const drain = async (server: Server): Promise<void> => {
    const closed = new Promise<void>((resolve) => server.close(() => resolve()));
    server.closeIdleConnections();
    const stopping = new InterlinkError('Unavailable', 'the server is stopping; try again', { code: 'http.stopping' });
    for (const request of streams) request.abort(stopping);
    const drained = new AbortController();
    const limit = deps.clock.sleep(drainMs, { signal: drained.signal }).then(
      () => {
        for (const request of [...calls, ...streams]) request.abort(stopping);
        server.closeAllConnections();
      },
      // The connections closed in time.
      () => {},
    );
    await closed;
    drained.abort();
    await limit;
  };

  return {
    name: options.name,
    ready: ready.promise,
    get address() {
      return bound;
    },
    async run(signal) {
      let server: Server;
      try {
        server = await listen();
      } catch (error) {
        ready.reject(error);
        throw error;
      }
      logger.info('listening', { address: renderAddress(bound) });
      const reload = tls ? followTls(server as TlsServer, tls, signal) : undefined;
      ready.resolve();
      try {
        await aborted(signal);
      } finally {
        await drain(server);
        await reload;
      }
    },
  };
}

/** Limits on how long a request may take to arrive, and how often slow ones are looked for. */
function checking({ requestTimeoutMs = REQUEST_TIMEOUT_MS }: HttpServerOptions) {
  return {
    requestTimeout: requestTimeoutMs,
    headersTimeout: Math.min(HEADERS_TIMEOUT_MS, requestTimeoutMs),
    connectionsCheckingInterval: Math.min(CHECK_MS, requestTimeoutMs),
  };
}

function tlsOptions(material: TlsMaterial, options: HttpServerOptions) {
  return {
    cert: material.cert,
    key: material.key,
    ...(material.clientCa === undefined ? {} : { ca: material.clientCa }),
    requestCert: options.requestClientCertificate ?? false,
    rejectUnauthorized: false,
    minVersion: 'TLSv1.2' as const,
    ciphers: CIPHERS,
    honorCipherOrder: true,
    ALPNProtocols: ['http/1.1'],
    ...checking(options),
  };
}

function listenTcp(server: Server, host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen({ host, port }, () => {
      server.off('error', reject);
      resolve();
    });
  });
}

function describeListenError(error: unknown, address: Address): unknown {
  const code = systemCodeOf(error);
  if (code === undefined || codeOf(error) !== 'internal') return error;
  const reason =
    code === 'EADDRINUSE'
      ? 'is in use; stop the process that has it or choose another address'
      : code === 'EACCES'
        ? 'may not be used by this user; choose a port above 1023 or another directory'
        : `cannot be listened on: ${messageOf(error)}`;
  return new InterlinkError('Unavailable', `${renderAddress(address)} ${reason}`, {
    code: 'http.listen',
    cause: error,
  });
}

async function send(result: HttpResponse, response: ServerResponse): Promise<void> {
  const { body } = result;
  const stream = isStreamBody(body) ? startStream(body) : undefined;
  if (response.destroyed) {
    await stream?.return?.();
    return;
  }
  const headers = { 'x-content-type-options': 'nosniff', 'cache-control': 'no-store', ...result.headers };
  if (stream) {
    response.writeHead(result.status, headers as OutgoingHttpHeaders);
    response.flushHeaders();
    const chunks = Readable.from({ [Symbol.asyncIterator]: () => stream }, { highWaterMark: 1 });
    await pipeline(chunks, response);
    return;
  }
  const whole = body as string | Uint8Array | undefined;
  const length = whole === undefined ? 0 : Buffer.byteLength(whole);
  response.writeHead(result.status, { ...headers, 'content-length': length } as OutgoingHttpHeaders);
  response.end(whole);
}

function isClosedEarly(error: unknown): boolean {
  const code = systemCodeOf(error);
  return code === 'ERR_STREAM_PREMATURE_CLOSE' || code === 'ECONNRESET' || code === 'EPIPE';
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
}
