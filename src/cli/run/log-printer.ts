/**
 * Writes the output of several containers to one stream. Without a prefix the bytes go out as they came; with one, whole lines do, each behind
 * `[name] `, and a last line without newline gets one, so that lines of two containers never mix.
 */
export class LogPrinter {
  readonly #out: NodeJS.WritableStream;
  readonly #prefix: boolean;

  constructor(out: NodeJS.WritableStream, prefix: boolean) {
    this.#out = out;
    this.#prefix = prefix;
  }

  /** Copies `bytes` until they end. Waits where the reader of the stream is slow; errors of the source are thrown. */
  async print(container: string, bytes: AsyncIterable<Uint8Array>): Promise<void> {
    const head = Buffer.from(`[${container}] `);
    let rest: Buffer = Buffer.alloc(0);
    for await (const chunk of bytes) {
      if (!this.#prefix) {
        await this.#write(chunk);
        continue;
      }
      const text = Buffer.concat([rest, chunk]);
      const end = text.lastIndexOf(0x0a) + 1;
      rest = text.subarray(end);
      if (end > 0) await this.#write(prefixLines(text.subarray(0, end), head));
    }
    if (rest.length > 0) await this.#write(Buffer.concat([head, rest, Buffer.from('\n')]));
  }

  async #write(bytes: Uint8Array): Promise<void> {
    if (this.#out.write(bytes)) return;
    await new Promise<void>((resolve) => {
      const done = (): void => {
        this.#out.off('drain', done);
        this.#out.off('close', done);
        resolve();
      };
      this.#out.on('drain', done);
      this.#out.on('close', done);
    });
  }
}

function prefixLines(lines: Buffer, head: Buffer): Buffer {
  const parts: Buffer[] = [];
  for (let start = 0; start < lines.length; ) {
    const end = lines.indexOf(0x0a, start) + 1;
    parts.push(head, lines.subarray(start, end));
    start = end;
  }
  return Buffer.concat(parts);
}
