import { X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import type { IncomingHttpHeaders } from 'node:http';
import { connect as connectPlain, type Socket } from 'node:net';
import { connect as connectTls, type TLSSocket } from 'node:tls';
import { type buildConnector, Pool } from 'undici';
import { InterlinkError } from '../base/errors.ts';
import { type Address, renderAddress } from './address.ts';
import { describeClientError } from './client-error.ts';
import { dispatchWhole, type WholeAnswer } from './dispatch-whole.ts';

/** How a server proves who it is and we to it. Files are read for each new connection, so that replaced ones count at once. */
export interface ClientTls {
  /** Authorities in PEM instead of the system's. */
  readonly caFile?: string | undefined;
  /** SHA-256 of the server's certificate, 64 hex digits; accepted whoever signed it, and no other. */
  readonly fingerprint?: string | undefined;
  readonly certFile?: string | undefined;
  readonly keyFile?: string | undefined;
}

export interface HttpClientOptions {
  readonly address: Address;
  readonly tls?: ClientTls;
  readonly connectTimeoutMs?: number;
  /** Calls at the same time; more wait. Streams are not counted. 64 unless given. */
  readonly maxConnections?: number;
}

/** One request; paths and headers go out as they are. */
export interface ClientRequest {
  readonly method: string;
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Uint8Array;
  readonly signal: AbortSignal;
  /** From the request's end to the answer's header; 60 s unless given. */
  readonly headersTimeoutMs?: number;
  /** Between two chunks of the answer; 0 waits for ever. 60 s unless given. */
  readonly idleTimeoutMs?: number;
  /** The answer is passed on as it comes and may last: it uses a connection of its own. Otherwise it is collected before the call resolves. */
  readonly stream?: boolean;
  /** Most bytes of an answer that is collected; 64 MiB unless given. */
  readonly maxBytes?: number;
}

/** An answer, whatever its status. The body of a stream must be read to the end, or given up by `discard`. */
export interface ClientResponse {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  /** Chunks as they come; leaving the loop early closes the connection. */
  readonly body: AsyncIterable<Uint8Array>;
  /** @throws Unavailable above `maxBytes`. */
  bytes(maxBytes: number): Promise<Buffer>;
  discard(): Promise<void>;
}

/**
 * Calls of one server. Redirects are answers like others and never followed.
 * Errors of `request` and of bodies: Unavailable when the server cannot be reached, refuses TLS or breaks off; DeadlineExceeded on a time-out; `signal.reason` on abort.
 */
export interface HttpClient extends AsyncDisposable {
  readonly address: Address;
  request(request: ClientRequest): Promise<ClientResponse>;
}

const MAX_BYTES = 64 * 1024 * 1024;

/** A client with connections kept alive; nothing is opened before the first request. */
export function createHttpClient(options: HttpClientOptions): HttpClient {
  const { address, connectTimeoutMs = 10_000, maxConnections = 64 } = options;
  const where = renderAddress(address);
  const origin = address.kind === 'unix' ? 'http://localhost' : where;
  const shared = { connect: connector(options), pipelining: 1 } as const;
  const calls = new Pool(origin, { ...shared, connections: maxConnections });
  const streams = new Pool(origin, shared);

  return {
    address,
    async request(request) {
      const { signal, maxBytes = MAX_BYTES } = request;
      signal.throwIfAborted();
      try {
        if (!request.stream) {
          const answer = await dispatchWhole(calls, dispatchOptions(request), { signal, maxBytes, where });
          refuseEncoding(answer.headers, where);
          return collected(answer, where);
        }
        const answer = await streams.request({ ...dispatchOptions(request), signal });
        try {
          refuseEncoding(answer.headers as IncomingHttpHeaders, where);
        } catch (error) {
          answer.body.destroy();
          throw error;
        }
        return streamed(answer, where, signal);
      } catch (error) {
        signal.throwIfAborted();
        throw describeClientError(error, where, connectTimeoutMs);
      }
    },
    async [Symbol.asyncDispose]() {
      await Promise.all([calls.destroy(), streams.destroy()]);
    },
  };
}

function dispatchOptions(request: ClientRequest) {
  const { method, path, headers, body, headersTimeoutMs = 60_000, idleTimeoutMs = 60_000 } = request;
  return {
    method: method as 'GET',
    path,
    ...(headers ? { headers } : {}),
    ...(body === undefined ? {} : { body }),
    headersTimeout: headersTimeoutMs,
    bodyTimeout: idleTimeoutMs,
    // undici closes the connection after a GET with a body otherwise.
    reset: false,
  };
}

function refuseEncoding(headers: IncomingHttpHeaders, where: string): void {
  const encoding = headers['content-encoding'];
  if (encoding === undefined || encoding === 'identity') return;
  throw new InterlinkError('Unavailable', `${where}: answered with content-encoding ${encoding} unasked`, {
    code: 'http.client.encoding',
  });
}

function collected({ status, headers, bytes }: WholeAnswer, where: string): ClientResponse {
  return {
    status,
    headers,
    body: {
      async *[Symbol.asyncIterator]() {
        if (bytes.length > 0) yield bytes;
      },
    },
    async bytes(maxBytes) {
      if (bytes.length > maxBytes) throw tooLarge(where, maxBytes);
      return bytes;
    },
    async discard() {},
  };
}

type Streamed = Awaited<ReturnType<Pool['request']>>;

function streamed(answer: Streamed, where: string, signal: AbortSignal): ClientResponse {
  const chunks = async function* (): AsyncGenerator<Uint8Array, void, void> {
    try {
      yield* answer.body as AsyncIterable<Uint8Array>;
    } catch (error) {
      signal.throwIfAborted();
      throw describeClientError(error, where);
    }
  };
  return {
    status: answer.statusCode,
    headers: answer.headers as IncomingHttpHeaders,
    body: { [Symbol.asyncIterator]: chunks },
    async bytes(maxBytes) {
      const parts: Uint8Array[] = [];
      let size = 0;
      for await (const chunk of chunks()) {
        size += chunk.length;
        if (size > maxBytes) throw tooLarge(where, maxBytes);
        parts.push(chunk);
      }
      return Buffer.concat(parts);
    },
    async discard() {
      try {
        await answer.body.dump({ limit: 64 * 1024 });
      } catch {
        // The connection is closed then, which is all that was wanted.
      }
    },
  };
}

function tooLarge(where: string, maxBytes: number): InterlinkError {
  return new InterlinkError('Unavailable', `${where}: the answer is larger than ${maxBytes} bytes`, {
    code: 'http.client.size',
  });
}

function connector({ address, tls = {}, connectTimeoutMs = 10_000 }: HttpClientOptions): buildConnector.connector {
  return (_options, callback) => {
    open(address, tls, connectTimeoutMs).then(
      (socket) => callback(null, socket),
      (error: Error) => callback(error, null),
    );
  };
}

async function open(address: Address, tls: ClientTls, timeoutMs: number): Promise<Socket | TLSSocket> {
  if (address.kind === 'unix') return connected(connectPlain(address.path), 'connect', timeoutMs);
  const { host, port } = address;
  if (!address.tls) return connected(connectPlain({ host, port, noDelay: true }), 'connect', timeoutMs);
  const [ca, cert, key] = await Promise.all([tls.caFile, tls.certFile, tls.keyFile].map(readOptional));
  const socket = connectTls({
    host,
    port,
    ...(isIpAddress(host) ? {} : { servername: host }),
    ...(ca === undefined ? {} : { ca }),
    ...(cert === undefined ? {} : { cert }),
    ...(key === undefined ? {} : { key }),
    ALPNProtocols: ['http/1.1'],
    minVersion: 'TLSv1.2',
    // With a pin the certificate itself is compared below, before anything is sent.
    rejectUnauthorized: tls.fingerprint === undefined,
  });
  await connected(socket, 'secureConnect', timeoutMs);
  if (tls.fingerprint !== undefined) verifyPin(socket, tls.fingerprint);
  return socket;
}

function connected<S extends Socket>(socket: S, event: string, timeoutMs: number): Promise<S> {
  return new Promise((resolve, reject) => {
    const onTimeout = (): void => {
      socket.destroy(Object.assign(new Error('connect timeout'), { code: 'ETIMEDOUT' }));
    };
    socket.setTimeout(timeoutMs, onTimeout);
    socket.once('error', reject);
    socket.once(event, () => {
      socket.setTimeout(0, onTimeout);
      socket.off('timeout', onTimeout);
      socket.off('error', reject);
      resolve(socket);
    });
  });
}

function verifyPin(socket: TLSSocket, fingerprint: string): void {
  const { raw } = socket.getPeerCertificate();
  const actual = raw === undefined ? '' : hexOf(new X509Certificate(raw).fingerprint256);
  if (actual === hexOf(fingerprint)) return;
  socket.destroy();
  throw Object.assign(new Error(`its certificate has the SHA-256 fingerprint ${actual}, another one is pinned`), {
    code: 'CERT_PIN_MISMATCH',
  });
}

function hexOf(fingerprint: string): string {
  return fingerprint.replaceAll(':', '').toLowerCase();
}

async function readOptional(path: string | undefined): Promise<Buffer | undefined> {
  return path === undefined ? undefined : readFile(path);
}

function isIpAddress(host: string): boolean {
  return host.includes(':') || /^[\d.]+$/.test(host);
}
