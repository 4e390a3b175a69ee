import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { InterlinkError } from '../base/errors.ts';
import type { HttpRequest } from './handler.ts';

/** {@link HttpRequest} over Node's message; everything that costs is made on first use. */
export class ServerRequest implements HttpRequest {
  readonly method: string;
  readonly path: string;
  readonly query: string;
  readonly headers: IncomingHttpHeaders;
  readonly socket: Socket;
  readonly #message: IncomingMessage;
  #controller: AbortController | undefined;
  #abortReason: unknown;
  #body: Promise<Buffer> | undefined;

  constructor(message: IncomingMessage, response: ServerResponse) {
    const target = message.url ?? '';
    const mark = target.indexOf('?');
    this.method = message.method ?? '';
    this.path = mark < 0 ? target : target.slice(0, mark);
    this.query = mark < 0 ? '' : target.slice(mark + 1);
    this.headers = message.headers;
    this.socket = message.socket;
    this.#message = message;
    response.once('close', () => {
      if (!response.writableFinished)
        this.abort(new InterlinkError('Unavailable', 'the client has gone', { code: 'http.client.gone' }));
    });
  }

  get rawHeaders(): readonly string[] {
    return this.#message.rawHeaders;
  }

  get signal(): AbortSignal {
    this.#controller ??= new AbortController();
    if (this.#abortReason !== undefined) this.#controller.abort(this.#abortReason);
    return this.#controller.signal;
  }

  abort(reason: unknown): void {
    this.#abortReason ??= reason;
    this.#controller?.abort(this.#abortReason);
  }

  body(maxBytes: number): Promise<Buffer> {
    this.#body ??= this.#read(maxBytes);
    return this.#body;
  }

  async #read(maxBytes: number): Promise<Buffer> {
    const encoding = this.headers['content-encoding'];
    if (encoding !== undefined && encoding.toLowerCase() !== 'identity')
      throw new InterlinkError('Invalid', `a body with content-encoding ${encoding} is not read; send it as it is`, {
        code: 'http.content-encoding',
      });
    if (Number(this.headers['content-length'] ?? 0) > maxBytes) throw tooLarge(maxBytes);
    const message = this.#message;
    const chunks: Buffer[] = [];
    let size = 0;
    return new Promise((resolve, reject) => {
      message.on('data', (chunk: Buffer) => {
        size += chunk.length;
        if (size <= maxBytes) chunks.push(chunk);
        else {
          chunks.length = 0;
          reject(tooLarge(maxBytes));
        }
      });
      message.once('end', () => resolve(chunks.length === 1 && chunks[0] ? chunks[0] : Buffer.concat(chunks)));
      const gone = (): void =>
        reject(
          new InterlinkError('Unavailable', 'the client has gone before its body was complete', {
            code: 'http.client.gone',
          }),
        );
      message.once('error', gone);
      message.once('close', gone);
    });
  }
}

function tooLarge(maxBytes: number): InterlinkError {
  return new InterlinkError('TooLarge', `the body is larger than ${maxBytes} bytes`, { code: 'http.body.size' });
}
