import http, { type IncomingMessage } from 'node:http';
import https from 'node:https';
import type { Clock } from '../base/clock.ts';
import { InterlinkError, messageOf, systemCodeOf } from '../base/errors.ts';
import type { Logger } from '../base/logger.ts';
import type { KubeConnection, KubeCredentials } from './kube-connection.ts';
import type { RateLimiter } from './rate-limiter.ts';

/** One HTTP request to the API server. */
export interface KubeRequest {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  /** Absolute path with its query. */
  readonly path: string;
  readonly contentType?: string;
  readonly body?: string;
  /** A connection of its own, so that a long answer keeps nobody waiting. */
  readonly stream?: boolean;
  readonly signal: AbortSignal;
}

export interface KubeTransportDeps {
  readonly connection: KubeConnection;
  readonly limiter: RateLimiter;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly userAgent: string;
}

/** Connections that are kept for requests; each watch has one more. */
const MAX_SOCKETS = 32;

/**
 * Sends one request and gives the answer whatever its status; the caller reads the body to its end or destroys it. Adds credentials, waits for the
 * rate limit, repeats once after a 401 with fresh credentials and once when the server had closed an idle connection.
 */
export class KubeTransport implements Disposable {
  readonly #deps: KubeTransportDeps;
  readonly #base: URL;
  #agents: { readonly certificate: string; readonly pooled: http.Agent; readonly single: http.Agent } | undefined;

  constructor(deps: KubeTransportDeps) {
    this.#deps = deps;
    this.#base = new URL(deps.connection.server);
  }

  /** @throws Unavailable when the server cannot be reached or the connection breaks, `signal.reason` on abort. */
  async send(request: KubeRequest): Promise<IncomingMessage> {
    const { connection, limiter, clock, logger } = this.#deps;
    await limiter.take(request.signal);
    const startedMs = clock.monotonicMs();
    let response = await this.#attempt(
      request,
      await connection.credentials({ refresh: false, signal: request.signal }),
    );
    if (response.statusCode === 401) {
      response.resume();
      const fresh = await connection.credentials({ refresh: true, signal: request.signal });
      response = await this.#attempt(request, fresh);
    }
    logger.debug('kube request', {
      method: request.method,
      path: request.path,
      httpStatus: response.statusCode,
      durationMs: Math.round(clock.monotonicMs() - startedMs),
    });
    return response;
  }

  [Symbol.dispose](): void {
    this.#agents?.pooled.destroy();
    this.#agents?.single.destroy();
    this.#agents = undefined;
  }

  async #attempt(request: KubeRequest, credentials: KubeCredentials): Promise<IncomingMessage> {
    const outcome = await this.#once(request, credentials);
    if (!('stale' in outcome)) return outcome.response;
    const again = await this.#once(request, credentials);
    if (!('stale' in again)) return again.response;
    throw again.stale;
  }

  #once(
    request: KubeRequest,
    credentials: KubeCredentials,
  ): Promise<{ response: IncomingMessage } | { stale: InterlinkError }> {
    const { connection, userAgent } = this.#deps;
    const agents = this.#agentsFor(credentials);
    const { promise, resolve, reject } = Promise.withResolvers<
      { response: IncomingMessage } | { stale: InterlinkError }
    >();
    request.signal.throwIfAborted();
    const outgoing = (this.#base.protocol === 'https:' ? https : http).request({
      host: this.#base.hostname.replace(/^\[|\]$/g, ''),
      port: this.#base.port || (this.#base.protocol === 'https:' ? 443 : 80),
      path: `${this.#base.pathname.replace(/\/$/, '')}${request.path}`,
      method: request.method,
      agent: request.stream ? agents.single : agents.pooled,
      signal: request.signal,
      headers: {
        accept: 'application/json',
        'user-agent': userAgent,
        ...(request.body === undefined
          ? {}
          : {
              'content-type': request.contentType ?? 'application/json',
              'content-length': Buffer.byteLength(request.body),
            }),
        ...(credentials.token === undefined ? {} : { authorization: `Bearer ${credentials.token.reveal()}` }),
      },
    });
    outgoing.once('response', (response) => resolve({ response }));
    outgoing.on('error', (error) => {
      if (request.signal.aborted) return reject(request.signal.reason);
      const failure = new InterlinkError(
        'Unavailable',
        `${request.method} ${request.path}: the API server ${connection.server} cannot be reached: ${messageOf(error)}; see ${connection.source}`,
        { code: 'kube.unreachable', cause: error },
      );
      // The server closed the connection while it was idle, so it has not seen this request; only creating twice would do harm if it had.
      const stale = outgoing.reusedSocket && systemCodeOf(error) === 'ECONNRESET' && request.method !== 'POST';
      if (stale) resolve({ stale: failure });
      else reject(failure);
    });
    outgoing.end(request.body);
    return promise;
  }

  #agentsFor(credentials: KubeCredentials): { readonly pooled: http.Agent; readonly single: http.Agent } {
    const { certificate } = credentials;
    const identity = certificate === undefined ? '' : certificate.certificate + certificate.key.reveal();
    if (this.#agents?.certificate === identity) return this.#agents;
    // A new client certificate needs new connections; watches on old ones go on until the server ends them.
    this.#agents?.pooled.destroy();
    const { caData, serverName, insecureSkipTlsVerify } = this.#deps.connection;
    const tls = {
      ...(caData === undefined ? {} : { ca: caData }),
      ...(serverName === undefined ? {} : { servername: serverName }),
      ...(certificate === undefined ? {} : { cert: certificate.certificate, key: certificate.key.reveal() }),
      rejectUnauthorized: !insecureSkipTlsVerify,
    };
    const [Agent, options] = this.#base.protocol === 'https:' ? [https.Agent, tls] : [http.Agent, {}];
    this.#agents = {
      certificate: identity,
      pooled: new Agent({ ...options, keepAlive: true, maxSockets: MAX_SOCKETS }),
      single: new Agent({ ...options, keepAlive: false }),
    };
    return this.#agents;
  }
}
