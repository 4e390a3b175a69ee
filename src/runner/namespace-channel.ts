import type { Duplex } from 'node:stream';

/** Reads records of known sizes from a stream that carries nothing else. */
export class ChannelReader {
  readonly #stream: Duplex;
  #bytes = Buffer.alloc(0);
  #ended = false;
  #wake: () => void = () => {};

  constructor(stream: Duplex) {
    this.#stream = stream;
    stream.on('data', (chunk: Buffer) => {
      this.#bytes = Buffer.concat([this.#bytes, chunk]);
      this.#wake();
    });
    const end = (): void => {
      this.#ended = true;
      this.#wake();
    };
    stream.once('end', end);
    stream.once('close', end);
  }

  /** Whether something has come that nobody has read yet. */
  get hasBytes(): boolean {
    return this.#bytes.length > 0;
  }

  /** The next `size` bytes, or undefined when the stream ends before. One call at a time. */
  async read(size: number): Promise<Buffer | undefined> {
    while (this.#bytes.length < size) {
      if (this.#ended || this.#stream.destroyed) return undefined;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    const result = this.#bytes.subarray(0, size);
    this.#bytes = this.#bytes.subarray(size);
    return result;
  }
}
