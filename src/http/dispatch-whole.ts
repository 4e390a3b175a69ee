import type { IncomingHttpHeaders } from 'node:http';
import type { Dispatcher } from 'undici';
import { InterlinkError } from '../base/errors.ts';

/** An answer that has arrived to its end. */
export interface WholeAnswer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly bytes: Buffer;
}

/**
 * Sends a request and collects the answer. It does without the stream that undici would make of a body, which costs as much as the whole rest of a small call.
 * Rejects with undici's own errors, `signal.reason` on abort, Unavailable when the answer has more than `maxBytes`.
 */
export function dispatchWhole(
  dispatcher: Dispatcher,
  options: Dispatcher.DispatchOptions,
  { signal, maxBytes, where }: { readonly signal: AbortSignal; readonly maxBytes: number; readonly where: string },
): Promise<WholeAnswer> {
  return new Promise((resolve, reject) => {
    let controller: Dispatcher.DispatchController | undefined;
    let status = 0;
    let headers: IncomingHttpHeaders = {};
    let chunks: Buffer[] = [];
    let size = 0;

    const finish = (): void => signal.removeEventListener('abort', abort);
    const fail = (error: unknown): void => {
      finish();
      reject(error);
    };
    // A request that waits for a connection has no controller yet: it is given up when it gets one.
    const abort = (): void => {
      controller?.abort(signal.reason);
      fail(signal.reason);
    };
    signal.addEventListener('abort', abort, { once: true });

    dispatcher.dispatch(options, {
      onRequestStart(started) {
        controller = started;
        if (signal.aborted) started.abort(signal.reason);
      },
      onResponseStart(_controller, statusCode, received) {
        status = statusCode;
        headers = received;
      },
      onResponseData(receiving, chunk) {
        size += chunk.length;
        if (size <= maxBytes) {
          chunks.push(chunk);
          return;
        }
        chunks = [];
        const error = new InterlinkError('Unavailable', `${where}: the answer is larger than ${maxBytes} bytes`, {
          code: 'http.client.size',
        });
        receiving.abort(error);
        fail(error);
      },
      onResponseEnd() {
        finish();
        const [only] = chunks;
        resolve({ status, headers, bytes: chunks.length === 1 && only ? only : Buffer.concat(chunks) });
      },
      onResponseError(_controller, error) {
        fail(error);
      },
    });
  });
}
