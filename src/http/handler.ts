import type { IncomingHttpHeaders } from 'node:http';
import type { Socket } from 'node:net';

/** A request as a handler sees it. */
export interface HttpRequest {
  readonly method: string;
  /** Path of the request line, raw and undecoded, without the query. */
  readonly path: string;
  /** What stands after the first `?` of the request line, raw; empty without one. */
  readonly query: string;
  readonly headers: IncomingHttpHeaders;
  /** Names and values in turn, as they came; tells repeated headers apart. */
  readonly rawHeaders: readonly string[];
  /** The connection, for the peer's address and certificate. */
  readonly socket: Socket;
  /** Aborts when the client has gone before it had the whole answer and when the server stops. */
  readonly signal: AbortSignal;
  /**
   * The whole body, whatever the method. Repeated calls give the same bytes.
   * @throws TooLarge above `maxBytes`; Invalid with code `http.content-encoding` (415) for a compressed body; Unavailable when the client goes.
   */
  body(maxBytes: number): Promise<Buffer>;
}

/** An answer. A body given as an iterable is a stream: its header is sent at once, chunks as they come, and its end is the end of the answer. */
export interface HttpResponse {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string | readonly string[]>>;
  readonly body?: string | Uint8Array | AsyncIterable<Uint8Array>;
}

/** Answers a request. What it throws is answered by the server's error renderer; it may be called concurrently. */
export type HttpHandler = (request: HttpRequest) => Promise<HttpResponse>;

/** Turns what a handler threw into an answer; never throws. */
export type ErrorRenderer = (error: unknown, request: HttpRequest) => HttpResponse;
