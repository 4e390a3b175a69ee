import type { WebSocket } from 'ws';
import { Backoff } from '../base/backoff.ts';
import type { Clock } from '../base/clock.ts';
import { messageOf, publicMessageOf } from '../base/errors.ts';
import type { Logger } from '../base/logger.ts';
import type {
  ChannelSettings,
  RunnerMessage,
  SidecarMessage,
  StopRequest,
  StreamRequest,
} from '../contract/job-directory.ts';
import { dialChannel } from './dial-channel.ts';
import type { RecordLog } from './record-log.ts';
import { parseStopRequest } from './stop-request.ts';

export interface ChannelDeps {
  readonly settings: ChannelSettings;
  readonly podUid: string;
  readonly records: RecordLog;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly onStop: (stop: StopRequest) => void;
  /** The sidecar tells of this revision of `contents.json`; without one, it may have told of some while the channel was away. */
  readonly onVolumes: (revision?: number) => void;
  /** The first dialling waits for it: loading WebSockets must not hold up the first container. */
  readonly after: Promise<void>;
  /** The answer to a stream request; ends early when the signal aborts. */
  readonly serve: (request: StreamRequest, signal: AbortSignal) => AsyncIterable<Uint8Array>;
}

const RETRY = { initialMs: 500, maxMs: 30_000 };
const PING_INTERVAL_MS = 30_000;
/** Bytes that may wait in a socket before a stream stops reading. */
const HIGH_WATER_BYTES = 256 * 1024;

/**
 * The live channel to the sidecar: one outgoing WebSocket that carries records at once and brings stop and stream requests. It is made again for ever,
 * trying the endpoints in turn, and nothing of the pod waits for it: the record file is the truth.
 */
export class Channel {
  readonly #deps: ChannelDeps;
  readonly #controller = new AbortController();
  readonly #running: Promise<void>;
  readonly #streams = new Set<Promise<void>>();
  /** The open connection, and whether the sidecar has said hello on it. */
  #socket: WebSocket | undefined;
  #isGreeted = false;
  /** Whether a first connection may still come about; after a failure nobody waits for the channel. */
  #isHopeful = true;
  #settled = Promise.withResolvers<void>();

  constructor(deps: ChannelDeps) {
    this.#deps = deps;
    this.#running = this.#run(this.#controller.signal);
  }

  /** Waits until what was recorded has reached the sidecar, at most `budgetMs` and not at all while the sidecar cannot be reached, and ends the channel. */
  async close(budgetMs: number): Promise<void> {
    const { clock, records } = this.#deps;
    const timer = new AbortController();
    const finish = async (): Promise<void> => {
      if (this.#isHopeful) await this.#settled.promise;
      await records.flush();
      const socket = this.#socket;
      if (socket === undefined || !this.#isGreeted) return;
      await Promise.all(this.#streams);
      // The peer answers a close after everything before it.
      const closed = new Promise((resolve) => socket.once('close', resolve));
      this.#controller.abort();
      socket.close(1000);
      await closed;
    };
    await Promise.race([finish(), clock.sleep(budgetMs, { signal: timer.signal }).catch(() => {})]);
    timer.abort();
    this.#controller.abort();
    this.#socket?.terminate();
    await this.#running;
  }

  async #run(signal: AbortSignal): Promise<void> {
    const { settings, podUid, clock, logger } = this.#deps;
    const backoff = new Backoff(RETRY);
    let isReported = false;
    await this.#deps.after;
    while (!signal.aborted) {
      for (const endpoint of settings.endpoints) {
        try {
          const socket = await dialChannel(settings, endpoint, `/channel/${podUid}`, signal);
          logger.info('channel open', { endpoint });
          isReported = false;
          backoff.reset();
          await this.#serve(socket, endpoint, signal);
          if (!signal.aborted) logger.info('channel closed', { endpoint });
        } catch (error) {
          if (signal.aborted) return;
          if (!isReported) logger.warn('channel cannot be opened; trying on', { endpoint, err: messageOf(error) });
        }
        if (signal.aborted) return;
      }
      isReported = true;
      this.#isHopeful = false;
      this.#settled.resolve();
      try {
        await clock.sleep(backoff.next(), { signal });
      } catch {
        return;
      }
    }
  }

  /** Uses an open socket until it closes. */
  async #serve(socket: WebSocket, endpoint: string, signal: AbortSignal): Promise<void> {
    const { records, logger, onStop, onVolumes, clock } = this.#deps;
    const closed = new AbortController();
    const isClosed = new Promise<void>((resolve) =>
      socket.once('close', () => {
        closed.abort();
        resolve();
      }),
    );
    let unsubscribe = (): void => {};
    this.#socket = socket;
    this.#isGreeted = false;
    socket.on('error', (error) => logger.debug('channel error', { endpoint, err: error }));
    socket.on('message', (data, isBinary) => {
      const message = isBinary ? undefined : parseMessage(String(data));
      if (message?.type === 'hello') {
        unsubscribe();
        unsubscribe = records.subscribe(message.seq, (record) =>
          socket.send(JSON.stringify({ type: 'record', record } satisfies RunnerMessage)),
        );
        this.#isGreeted = true;
        this.#settled.resolve();
        onVolumes();
      } else if (message?.type === 'stop') {
        onStop(message.stop);
      } else if (message?.type === 'volumes') {
        onVolumes(message.revision);
      } else if (message?.type === 'stream') {
        const stream = this.#stream(message.id, message.request, endpoint, signal);
        this.#streams.add(stream);
        void stream.then(() => this.#streams.delete(stream));
      } else {
        logger.debug('channel message ignored', { endpoint });
      }
    });
    socket.resume();
    void keepAlive(socket, clock, closed.signal);
    try {
      await isClosed;
    } finally {
      unsubscribe();
      this.#socket = undefined;
    }
  }

  /** Dials a stream of its own and answers the request there. Failures end the stream and nothing else. */
  async #stream(id: string, request: StreamRequest, endpoint: string, signal: AbortSignal): Promise<void> {
    const { settings, podUid, serve, logger, clock } = this.#deps;
    try {
      const path = `/channel/${podUid}/streams/${encodeURIComponent(id)}`;
      const socket = await dialChannel(settings, endpoint, path, signal);
      const gone = new AbortController();
      socket.once('close', () => gone.abort());
      socket.on('error', (error) => logger.debug('stream error', { err: error }));
      socket.resume();
      try {
        for await (const chunk of serve(request, AbortSignal.any([signal, gone.signal]))) {
          socket.send(chunk);
          while (socket.bufferedAmount > HIGH_WATER_BYTES && socket.readyState === socket.OPEN)
            await clock.sleep(5, { signal: gone.signal });
        }
      } catch (error) {
        if (!gone.signal.aborted) socket.send(JSON.stringify({ error: publicMessageOf(error) }));
      }
      socket.close(1000);
    } catch (error) {
      logger.warn('stream failed', { kind: request.kind, err: messageOf(error) });
    }
  }
}

/** Ends a connection whose peer no longer answers: a host that vanished sends no close. */
async function keepAlive(socket: WebSocket, clock: Clock, signal: AbortSignal): Promise<void> {
  let answered = true;
  socket.on('pong', () => {
    answered = true;
  });
  try {
    while (answered) {
      answered = false;
      socket.ping();
      await clock.sleep(PING_INTERVAL_MS, { signal });
    }
    socket.terminate();
  } catch {
    // The connection closed while we slept.
    return;
  }
}

function parseMessage(text: string): SidecarMessage | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  const message = value as Partial<Record<string, unknown>> | null;
  switch (message?.type) {
    case 'hello':
      return typeof message.seq === 'number' ? { type: 'hello', seq: message.seq } : undefined;
    case 'volumes':
      return Number.isSafeInteger(message.revision)
        ? { type: 'volumes', revision: message.revision as number }
        : undefined;
    case 'stop': {
      const stop = parseStopRequest(message.stop);
      return stop && { type: 'stop', stop };
    }
    case 'stream':
      return typeof message.id === 'string' && typeof message.request === 'object' && message.request !== null
        ? { type: 'stream', id: message.id, request: message.request as StreamRequest }
        : undefined;
    default:
      return undefined;
  }
}
