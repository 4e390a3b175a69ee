import type { WebSocket } from 'ws';
import { InterlinkError } from '../base/errors.ts';

/** Bytes that may wait for the reader before the runner is made to wait. */
const HIGH_WATER_BYTES = 1024 * 1024;

/**
 * The bytes that a runner sends over one stream socket: binary frames are content, a text frame tells why the answer failed. A slow reader makes the
 * socket wait; giving up the iteration closes it.
 *
 * @throws Unavailable with the runner's reason, or when the socket breaks before its orderly close.
 */
export function channelStream(socket: WebSocket, signal: AbortSignal): AsyncIterable<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  let end: { readonly error: Error | undefined } | undefined;
  let wake = (): void => {};
  const finish = (error: Error | undefined): void => {
    end ??= { error };
    wake();
  };
  socket.on('message', (data: Buffer, isBinary) => {
    if (!isBinary) {
      finish(
        new InterlinkError('Unavailable', `the runner could not answer: ${reasonOf(data)}`, { code: 'channel.stream' }),
      );
      return;
    }
    chunks.push(data);
    bytes += data.length;
    if (bytes > HIGH_WATER_BYTES) socket.pause();
    wake();
  });
  socket.on('error', (error) => finish(error));
  socket.on('close', (code) =>
    finish(code === 1000 ? undefined : new InterlinkError('Unavailable', 'the connection to the runner broke')),
  );
  const onAbort = (): void => {
    // Also where nobody has begun to read.
    socket.terminate();
    wake();
  };
  signal.addEventListener('abort', onAbort, { once: true });
  // The listeners above are in place before this begins, so that nothing is lost until somebody reads.
  return (async function* read(): AsyncGenerator<Uint8Array, void, void> {
    try {
      for (;;) {
        signal.throwIfAborted();
        const chunk = chunks.shift();
        if (chunk) {
          bytes -= chunk.length;
          if (socket.isPaused && bytes <= HIGH_WATER_BYTES) socket.resume();
          yield chunk;
        } else if (end) {
          if (end.error) throw end.error;
          return;
        } else {
          await new Promise<void>((resolve) => {
            wake = resolve;
          });
        }
      }
    } finally {
      signal.removeEventListener('abort', onAbort);
      socket.terminate();
    }
  })();
}

function reasonOf(data: Buffer): string {
  try {
    const { error } = JSON.parse(data.toString('utf8')) as { error?: unknown };
    return typeof error === 'string' ? error : JSON.stringify(error);
  } catch {
    return 'it sent text that is no JSON';
  }
}
