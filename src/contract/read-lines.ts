import { InterlinkError } from '../base/errors.ts';

const NEWLINE = 10;

/**
 * The lines of a stream without their ends; what stands behind the last newline is dropped, as it was cut off.
 * @throws Unavailable when a line is longer than `maxBytes`.
 */
export async function* readLines(
  source: AsyncIterable<Uint8Array>,
  maxBytes: number,
): AsyncGenerator<Uint8Array, void, void> {
  let parts: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of source) {
    let start = 0;
    for (let end = chunk.indexOf(NEWLINE); end >= 0; end = chunk.indexOf(NEWLINE, start)) {
      const head = chunk.subarray(start, end);
      yield parts.length === 0 ? head : Buffer.concat([...parts, head]);
      parts = [];
      size = 0;
      start = end + 1;
    }
    const rest = chunk.subarray(start);
    size += rest.length;
    if (size > maxBytes)
      throw new InterlinkError('Unavailable', `a line of the stream is longer than ${maxBytes} bytes`, {
        code: 'peer.line',
      });
    if (rest.length > 0) parts.push(rest);
  }
}
