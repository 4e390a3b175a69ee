import { open } from 'node:fs/promises';
import { systemCodeOf } from '../../base/errors.ts';
import type { RunnerRecord } from '../../contract/job-directory.ts';

const BLOCK_BYTES = 256 * 1024;
const NEWLINE = 10;

/**
 * Reads a runner's `events.ndjson` from where it stopped the last time. The file is opened anew each time, which makes a network file
 * system look at the server (close-to-open consistency); nothing is watched.
 */
export class RecordReader {
  readonly #path: string;
  #offset = 0;

  constructor(path: string) {
    this.#path = path;
  }

  /** The records that came since the last call, oldest first; none while there is no file. A torn last line waits for its end. */
  async read(): Promise<readonly RunnerRecord[]> {
    let handle: Awaited<ReturnType<typeof open>>;
    try {
      handle = await open(this.#path, 'r');
    } catch (error) {
      if (systemCodeOf(error) === 'ENOENT') return [];
      throw error;
    }
    try {
      const records: RunnerRecord[] = [];
      let rest = Buffer.alloc(0);
      for (let at = this.#offset; ; ) {
        const { bytesRead, buffer } = await handle.read(Buffer.allocUnsafe(BLOCK_BYTES), 0, BLOCK_BYTES, at);
        if (bytesRead === 0) return records;
        at += bytesRead;
        const bytes = Buffer.concat([rest, buffer.subarray(0, bytesRead)]);
        const end = bytes.lastIndexOf(NEWLINE) + 1;
        this.#offset += end;
        rest = bytes.subarray(end);
        for (const line of bytes.subarray(0, end).toString('utf8').split('\n')) {
          const record = parseRecord(line);
          if (record) records.push(record);
        }
      }
    } finally {
      await handle.close();
    }
  }
}

/** A record, or undefined for a line that is none: a runner that died while writing leaves one, and the next begins on a new line. */
function parseRecord(line: string): RunnerRecord | undefined {
  if (line === '') return undefined;
  try {
    const record = JSON.parse(line) as Partial<RunnerRecord>;
    return Number.isSafeInteger(record.seq) && record.status ? (record as RunnerRecord) : undefined;
  } catch {
    return undefined;
  }
}
