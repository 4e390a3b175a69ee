import { type FileHandle, open } from 'node:fs/promises';
import { PRIVATE_FILE, syncDirectory } from '../base/files.ts';
import type { Logger } from '../base/logger.ts';
import type { JobDirectory, RunnerRecord } from '../contract/job-directory.ts';

/** What a sidecar may miss without reading the file; each record has the whole status. */
const KEPT_RECORDS = 1_000;

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
  #failed = false;

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
      try {
        await this.#handle.appendFile(`${JSON.stringify(record)}\n`);
        await this.#handle.datasync();
        this.#failed = false;
      } catch (error) {
        if (!this.#failed) this.#logger.error('record cannot be written', { seq: record.seq, err: error });
        this.#failed = true;
      }
      this.#records.push(record);
      if (this.#records.length > KEPT_RECORDS) this.#records.shift();
      for (const listener of this.#listeners) listener(record);
    });
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

  /** Resolves when all that was appended so far is durable. */
  async flush(): Promise<void> {
    await this.#tail;
  }

  async close(): Promise<void> {
    await this.#tail;
    await this.#handle.close();
  }
}
