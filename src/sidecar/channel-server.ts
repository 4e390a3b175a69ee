import { createHash, randomUUID, timingSafeEqual } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { WebSocket, WebSocketServer } from 'ws';
import type { Clock } from '../base/clock.ts';
import { InterlinkError, messageOf } from '../base/errors.ts';
import type { Logger } from '../base/logger.ts';
import type { RunnerMessage, RunnerRecord, SidecarMessage, StreamRequest } from '../contract/job-directory.ts';
import type { Address } from '../http/address.ts';
import { createHttpServer, type HttpServer } from '../http/http-server.ts';
import type { ChannelCertificate } from './channel-certificate.ts';
import { channelStream } from './channel-stream.ts';

/** What the channel server asks of, and tells to, whoever keeps the jobs. */
export interface ChannelHost {
  /** SHA-256 in hex of the token of a live job; undefined for a pod that may not connect. */
  tokenHash(uid: string): string | undefined;
  /** `seq` of the last record that is known. */
  lastSeq(uid: string): number;
  record(uid: string, record: RunnerRecord): void;
  connected(uid: string, isConnected: boolean): void;
}

export interface ChannelServerDeps {
  readonly clock: Clock;
  readonly logger: Logger;
}

/** A record carries the status of every container with messages of at most 4 KiB each; more than this is no runner. */
const MAX_MESSAGE_BYTES = 16 * 1024 * 1024;
/** Beat that finds connections whose other side is gone; two missed ones end it. */
const PING_MS = 20_000;
/** Time for a runner to dial a stream that it was asked for. */
const DIAL_MS = 15_000;
const PATH = /^\/channel\/([A-Za-z0-9-]{1,64})(?:\/streams\/([A-Za-z0-9-]{1,64}))?$/;

/**
 * Takes the WebSockets that runners open. A runner proves itself with the token of its job; one channel per pod, the newest wins. Nothing depends on it but
 * speed: what it carries is in the job directory too.
 */
export class ChannelServer implements AsyncDisposable {
  readonly #deps: ChannelServerDeps;
  readonly #sockets = new WebSocketServer({ noServer: true, maxPayload: MAX_MESSAGE_BYTES, perMessageDeflate: false });
  readonly #channels = new Map<string, WebSocket>();
  readonly #dialled = new Map<string, { readonly uid: string; readonly take: (socket: WebSocket) => void }>();
  readonly #server: HttpServer;
  readonly #stop = new AbortController();
  #host: ChannelHost = nobody;
  #running: Promise<unknown> = Promise.resolve();

  constructor(address: Address, certificate: ChannelCertificate | undefined, deps: ChannelServerDeps) {
    this.#deps = deps;
    this.#server = createHttpServer(
      {
        name: 'channel',
        address,
        ...(certificate ? { tls: fixedCertificate(certificate) } : {}),
        handler: async () => {
          throw new InterlinkError('NotFound', 'only runners have business here');
        },
        onUpgrade: (message, socket, head) => this.#onUpgrade(message, socket, head),
      },
      deps,
    );
  }

  /** Listens for the runners of `host`; resolves when they may connect. @throws Unavailable when the address cannot be had. */
  async listen(host: ChannelHost): Promise<void> {
    this.#host = host;
    this.#running = this.#server.run(this.#stop.signal).catch((error: unknown) => {
      // Whoever called gets a failure to listen; later ones end the channel and nothing else.
      this.#deps.logger.error('channel server ended', { err: messageOf(error) });
    });
    await this.#server.ready;
    void this.#beat();
  }

  /** Where it listens, with the true port. */
  get address(): Address {
    return this.#server.address;
  }

  /** Sends a message to the pod's runner; false when it holds no channel. */
  send(uid: string, message: SidecarMessage): boolean {
    const socket = this.#channels.get(uid);
    if (socket?.readyState !== WebSocket.OPEN) return false;
    socket.send(JSON.stringify(message));
    return true;
  }

  /**
   * Has the runner answer `request` over a socket of its own.
   * @throws Unavailable when the runner holds no channel or does not dial in time; `signal.reason` on abort.
   */
  async openStream(uid: string, request: StreamRequest, signal: AbortSignal): Promise<AsyncIterable<Uint8Array>> {
    const id = randomUUID();
    const { promise, resolve } = Promise.withResolvers<WebSocket>();
    this.#dialled.set(id, { uid, take: resolve });
    const waiting = new AbortController();
    try {
      if (!this.send(uid, { type: 'stream', id, request }))
        throw new InterlinkError('Unavailable', `the runner of pod ${uid} is not connected; try again`, {
          code: 'channel.absent',
        });
      const expired = this.#deps.clock
        .sleep(DIAL_MS, { signal: AbortSignal.any([signal, waiting.signal]) })
        .then(() => {
          throw new InterlinkError(
            'Unavailable',
            `the runner of pod ${uid} did not answer within ${DIAL_MS / 1000} s`,
            {
              code: 'channel.silent',
            },
          );
        });
      return channelStream(await Promise.race([promise, expired]), signal);
    } finally {
      waiting.abort();
      this.#dialled.delete(id);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    for (const socket of this.#sockets.clients) socket.terminate();
    await this.#running;
  }

  #onUpgrade(message: IncomingMessage, socket: Duplex, head: Buffer): void {
    socket.on('error', (error) => this.#deps.logger.debug('channel connection failed', { err: error.message }));
    const [, uid, stream] = PATH.exec(message.url ?? '') ?? [];
    const dialled = stream === undefined ? undefined : this.#dialled.get(stream);
    const refusal =
      uid === undefined
        ? '404 Not Found'
        : !this.#isAuthentic(uid, message.headers.authorization)
          ? '401 Unauthorized'
          : stream !== undefined && dialled?.uid !== uid
            ? '404 Not Found'
            : undefined;
    if (uid === undefined || refusal !== undefined) {
      this.#deps.logger.warn('runner refused', { podUid: uid, status: refusal });
      socket.end(`HTTP/1.1 ${refusal}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`);
      return;
    }
    this.#sockets.handleUpgrade(message, socket, head, (webSocket) => {
      if (dialled) dialled.take(webSocket);
      else this.#serve(uid, webSocket);
    });
  }

  #isAuthentic(uid: string, authorization: string | undefined): boolean {
    const expected = this.#host.tokenHash(uid);
    const [, token] = /^Bearer (\S+)$/.exec(authorization ?? '') ?? [];
    if (expected === undefined || token === undefined) return false;
    // Of digests, so that both have one length and time tells nothing of the token.
    return timingSafeEqual(createHash('sha256').update(token).digest(), Buffer.from(expected, 'hex'));
  }

  #serve(uid: string, socket: WebSocket): void {
    const { logger } = this.#deps;
    const host = this.#host;
    this.#channels.get(uid)?.terminate();
    this.#channels.set(uid, socket);
    socket.on('message', (data: Buffer, isBinary) => {
      const message = isBinary ? undefined : parseMessage(data);
      if (message) host.record(uid, message.record);
      else logger.debug('channel message ignored', { podUid: uid });
    });
    socket.on('error', (error) => logger.debug('channel broke', { podUid: uid, err: error.message }));
    socket.on('close', () => {
      if (this.#channels.get(uid) !== socket) return;
      this.#channels.delete(uid);
      host.connected(uid, false);
    });
    host.connected(uid, true);
    this.send(uid, { type: 'hello', seq: host.lastSeq(uid) });
  }

  async #beat(): Promise<void> {
    const { clock, logger } = this.#deps;
    const silent = new WeakSet<WebSocket>();
    try {
      for (;;) {
        await clock.sleep(PING_MS, { signal: this.#stop.signal });
        for (const socket of this.#channels.values()) {
          if (silent.has(socket)) socket.terminate();
          silent.add(socket);
          socket.once('pong', () => silent.delete(socket));
          socket.ping();
        }
      }
    } catch (error) {
      if (!this.#stop.signal.aborted) logger.error('channel beat ended', { err: messageOf(error) });
    }
  }
}

/** Lets nobody in. */
const nobody: ChannelHost = {
  tokenHash: () => undefined,
  lastSeq: () => 0,
  record: () => {},
  connected: () => {},
};

function fixedCertificate({ cert, key }: ChannelCertificate) {
  return {
    load: async () => ({ cert, key }),
    changed: (signal: AbortSignal) =>
      new Promise<void>((_resolve, reject) => {
        if (signal.aborted) reject(signal.reason);
        else signal.addEventListener('abort', () => reject(signal.reason), { once: true });
      }),
  };
}

function parseMessage(data: Buffer): RunnerMessage | undefined {
  try {
    const message = JSON.parse(data.toString('utf8')) as Partial<RunnerMessage>;
    const record = message.type === 'record' ? message.record : undefined;
    return record && Number.isSafeInteger(record.seq) && record.status && Array.isArray(record.events)
      ? { type: 'record', record }
      : undefined;
  } catch {
    return undefined;
  }
}
