import { open, stat } from 'node:fs/promises';
import { parseRecord } from './log-record.ts';

const BLOCK_BYTES = 64 * 1024;
const NEWLINE = 10;

/** A place in one file of a rotated log. */
export interface Position {
  readonly path: string;
  readonly offset: number;
}

/** Where the last `tailLines` lines of the container begin, or everything when undefined. `files` are oldest first. */
export async function startOf(files: readonly string[], tailLines: number | undefined): Promise<Position> {
  const [oldest] = files as readonly [string];
  if (tailLines === undefined) return { path: oldest, offset: 0 };
  const newest = files.at(-1) as string;
  if (tailLines === 0) return { path: newest, offset: (await stat(newest)).size };
  let search: TailSearch = { wanted: tailLines, openEnd: true };
  for (const path of files.toReversed()) {
    search = await tailOffset(path, search);
    if (search.offset !== undefined) return { path, offset: search.offset };
  }
  return { path: oldest, offset: 0 };
}

interface TailSearch {
  /** Where the wanted lines begin; undefined when the file has fewer. */
  readonly offset?: number;
  readonly wanted: number;
  /** Whether nothing after this file closes a line that ends it. */
  readonly openEnd: boolean;
}

/** Looks backwards, block by block, for the record after which the last `wanted` lines begin. */
async function tailOffset(path: string, { wanted, openEnd }: TailSearch): Promise<TailSearch> {
  const handle = await open(path, 'r');
  try {
    let end = (await handle.stat()).size;
    let carry: Buffer = Buffer.alloc(0);
    let lines = wanted;
    let unclosed = openEnd;
    while (end > 0) {
      const from = Math.max(0, end - BLOCK_BYTES);
      const block = Buffer.allocUnsafe(end - from);
      await handle.read(block, 0, block.length, from);
      const text = carry.length === 0 ? block : Buffer.concat([block, carry]);
      let stop = text.length;
      if (stop > 0 && text[stop - 1] === NEWLINE) stop -= 1;
      for (;;) {
        const before = stop === 0 ? -1 : text.lastIndexOf(NEWLINE, stop - 1);
        if (before < 0 && from > 0) break;
        const record = text.subarray(before + 1, stop);
        if (record.length > 0) {
          const part = isPart(record);
          // A whole record ends a line, and so does a part that nothing follows.
          if (!part || unclosed) {
            if (lines === 0) return { offset: from + Math.min(stop + 1, text.length), wanted: 0, openEnd: false };
            lines -= 1;
          }
          unclosed = false;
        }
        if (before < 0) return { wanted: lines, openEnd: unclosed };
        stop = before;
      }
      carry = text.subarray(0, Math.min(stop + 1, text.length));
      end = from;
    }
    return { wanted: lines, openEnd: unclosed };
  } finally {
    await handle.close();
  }
}

function isPart(record: Buffer): boolean {
  return parseRecord(record)?.whole === false;
}
