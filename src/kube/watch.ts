import type { Readable } from 'node:stream';
import { StringDecoder } from 'node:string_decoder';
import type { Clock } from '../base/clock.ts';
import { InterlinkError, messageOf } from '../base/errors.ts';
import type { KubeWatchEvent } from './kube-client.ts';
import { kubeError } from './kube-error.ts';

export interface WatchReadOptions {
  /** Names the watch, for messages. */
  readonly what: string;
  readonly idleMs: number;
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

const EVENT_TYPES: ReadonlySet<unknown> = new Set(['ADDED', 'MODIFIED', 'DELETED', 'BOOKMARK']);

/**
 * The events of a watch's answer, one JSON document per line. Ends with the stream; the stream is destroyed when the iteration stops.
 * @throws DeadlineExceeded after `idleMs` without a byte, Unavailable when the stream breaks or a line is no event, the server's error for an
 * ERROR event, `signal.reason` on abort.
 */
export async function* readWatch<T>(stream: Readable, options: WatchReadOptions): AsyncGenerator<KubeWatchEvent<T>> {
  const { what, signal } = options;
  const silence = new Watchdog(stream, options);
  const decoder = new StringDecoder('utf8');
  let rest = '';
  try {
    for await (const chunk of stream as AsyncIterable<Buffer>) {
      silence.heard();
      const lines = (rest + decoder.write(chunk)).split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) if (line !== '') yield parseEvent<T>(line, what);
    }
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof InterlinkError) throw error;
    throw new InterlinkError('Unavailable', `${what}: the connection broke: ${messageOf(error)}`, {
      code: 'kube.watch-broken',
      cause: error,
    });
  } finally {
    silence.stop();
    stream.destroy();
  }
  if (rest !== '')
    throw new InterlinkError('Unavailable', `${what}: ended in the middle of an event`, { code: 'kube.watch-broken' });
}

function parseEvent<T>(line: string, what: string): KubeWatchEvent<T> {
  let event: { type?: unknown; object?: unknown };
  try {
    event = JSON.parse(line);
  } catch {
    // The line may hold a Secret, and the parser quotes it in its error.
    throw new InterlinkError('Unavailable', `${what}: a line is no JSON`, { code: 'kube.watch-broken' });
  }
  if (event.type === 'ERROR') {
    const code = (event.object as { code?: unknown } | undefined)?.code;
    throw kubeError(what, typeof code === 'number' ? code : 500, event.object ?? {}, undefined);
  }
  if (!EVENT_TYPES.has(event.type) || typeof event.object !== 'object' || event.object === null)
    throw new InterlinkError('Unavailable', `${what}: unknown event type ${JSON.stringify(event.type)}`, {
      code: 'kube.watch-broken',
    });
  return event as unknown as KubeWatchEvent<T>;
}

/** Destroys a stream that has been silent for too long. One timer whatever the number of events. */
class Watchdog {
  readonly #clock: Clock;
  readonly #stopped = new AbortController();
  #heardAtMs: number;

  constructor(stream: Readable, { what, idleMs, clock }: WatchReadOptions) {
    this.#clock = clock;
    this.#heardAtMs = clock.monotonicMs();
    this.#guard(idleMs).then(
      () =>
        stream.destroy(
          new InterlinkError('DeadlineExceeded', `${what}: silent for ${idleMs} ms`, { code: 'kube.watch-idle' }),
        ),
      // The only way for the guard to fail: the watch ended first.
      () => {},
    );
  }

  heard(): void {
    this.#heardAtMs = this.#clock.monotonicMs();
  }

  stop(): void {
    this.#stopped.abort();
  }

  async #guard(idleMs: number): Promise<void> {
    for (let leftMs = idleMs; leftMs > 0; leftMs = this.#heardAtMs + idleMs - this.#clock.monotonicMs())
      await this.#clock.sleep(leftMs, { signal: this.#stopped.signal });
  }
}
