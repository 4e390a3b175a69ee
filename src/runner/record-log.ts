import { type FileHandle, open } from 'node:fs/promises';
import { PRIVATE_FILE, syncDirectory } from '../base/files.ts';
import type { Logger } from '../base/logger.ts';
import type { JobDirectory, RunnerRecord } from '../contract/job-directory.ts';

/** What a sidecar may miss without reading the file; each record has the whole status. */
const KEPT_RECORDS = 1_000;
/** Characters of records that wait for a file system with room. */
const MAX_UNWRITTEN = 1024 * 1024;

/**
 * `events.ndjson`: each record is written and synced in order, in the background. A record is handed to the listeners once it is durable, so that nobody learns
 * from the live channel what the file could still lose. Where the file cannot be written (disk full, quota) the pod goes on and
 * the listeners still get everything.
 */
export class RecordLog {
  readonly #handle: FileHandle;
  readonly #logger: Logger;
  readonly #records: RunnerRecord[] = [];
  readonly #listeners = new Set<(record: RunnerRecord) => void>();
  #tail: Promise<void> = Promise.resolve();
  #unwritten = '';

  private constructor(handle: FileHandle, logger: Logger) {
    this.#handle = handle;
    this.#logger = logger;
  }

  /** Opens the file for appending and makes its name durable. */
  static async open(directory: JobDirectory, logger: Logger): Promise<RecordLog> {
    const handle = await open(directory.events, 'a', PRIVATE_FILE);
    await syncDirectory(directory.root);
    return new RecordLog(handle, logger);
  }

  /** Queues the record; never throws and never waits. */
  append(record: RunnerRecord): void {
    this.#tail = this.#tail.then(async () => {
      await this.#write(`${JSON.stringify(record)}\n`);
      this.#records.push(record);
      if (this.#records.length > KEPT_RECORDS) this.#records.shift();
      for (const listener of this.#listeners) listener(record);
    });
  }

  /** Writes what is left of earlier failures and `line`; what fails now is tried again with the next record. */
  async #write(line: string): Promise<void> {
    const text = this.#unwritten + line;
    try {
      await this.#handle.appendFile(text);
      await this.#handle.datasync();
      this.#unwritten = '';
    } catch (error) {
      if (this.#unwritten === '') this.#logger.error('records cannot be written', { err: error });
      // A part may have been written: what follows begins on a new line. Records are whole, so the newest are enough.
      this.#unwritten = `\n${text.slice(-MAX_UNWRITTEN)}`;
    }
  }

  /** Calls `listener` with every record after `seq`, those of the past at once, until the returned function is called. */
  subscribe(seq: number, listener: (record: RunnerRecord) => void): () => void {
    const listen = (record: RunnerRecord): void => {
      if (record.seq > seq) listener(record);
    };
    for (const record of this.#records) listen(record);
    this.#listeners.add(listen);
    return () => this.#listeners.delete(listen);
  }

  /** Resolves when all that was appended so far is durable, or has been tried once more. */
  async flush(): Promise<void> {
    await this.#tail;
    if (this.#unwritten !== '') await this.#write('');
  }

  async close(): Promise<void> {
    await this.#tail;
    await this.#handle.close();
  }
}
