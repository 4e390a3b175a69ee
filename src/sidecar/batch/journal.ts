import { closeSync, openSync } from 'node:fs';
import { DatabaseSync, type StatementSync } from 'node:sqlite';
import type { Clock } from '../../base/clock.ts';
import { InterlinkError, messageOf } from '../../base/errors.ts';
import { PRIVATE_FILE } from '../../base/files.ts';
import type { JobRecord } from './job-record.ts';

const SCHEMA_VERSION = 1;
/** So commits take at most a quarter of the time. */
const REST_FACTOR = 3;
const MAX_REST_MS = 50;
/** `errcode` of node:sqlite errors, SQLite's own result codes. @see https://sqlite.org/rescode.html */
const SQLITE_BUSY = 5;
const SQLITE_FULL = 13;
const SQLITE_NOTADB = 26;

/** What a commit does to one pod: its record as text (empty forgets the pod), and the job's specification while it may still be needed. */
interface Write {
  readonly record: string;
  readonly spec: 'keep' | 'drop' | { readonly text: string };
}

/**
 * The durable memory of a sidecar: one row per pod in an SQLite file that works on network file systems too (`journal_mode=TRUNCATE`,
 * `synchronous=FULL`, exclusive lock, deleted content overwritten). It holds the specification of each job too, secrets included, until the pod has
 * ended: one commit then makes a burst of pods durable where a sync of each job directory would take longest of all. A write is durable when its promise resolves; writes that come close together share one commit.
 */
export class Journal implements Disposable {
  readonly #database: DatabaseSync;
  readonly #clock: Clock;
  readonly #upsert: StatementSync;
  readonly #upsertSpec: StatementSync;
  readonly #pending = new Map<string, Write>();
  #waiting: PromiseWithResolvers<void> | undefined;
  /** Monotonic time before which no further commit begins. */
  #restUntilMs = 0;
  #closed = false;

  /** @throws Conflict when another process holds it, Invalid when the file is something else, Unavailable when it cannot be opened. */
  static open(path: string, clock: Clock): Journal {
    // SQLite would create it with the umask's mode, and its journal file takes the mode of the database.
    closeSync(openSync(path, 'a', PRIVATE_FILE));
    let database: DatabaseSync | undefined;
    try {
      database = new DatabaseSync(path);
      database.exec(
        'PRAGMA locking_mode=EXCLUSIVE; PRAGMA journal_mode=TRUNCATE; PRAGMA synchronous=FULL; PRAGMA secure_delete=ON',
      );
      database.exec(
        'BEGIN EXCLUSIVE; CREATE TABLE IF NOT EXISTS jobs (uid TEXT PRIMARY KEY, record TEXT NOT NULL) STRICT',
      );
      database.exec('CREATE TABLE IF NOT EXISTS specs (uid TEXT PRIMARY KEY, spec TEXT NOT NULL) STRICT');
      database.exec('CREATE TABLE IF NOT EXISTS settings (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT; COMMIT');
      return new Journal(database, path, clock);
    } catch (error) {
      database?.close();
      throw describe(error, path);
    }
  }

  private constructor(database: DatabaseSync, path: string, clock: Clock) {
    this.#database = database;
    this.#clock = clock;
    this.#upsert = database.prepare(
      'INSERT INTO jobs VALUES (?, ?) ON CONFLICT (uid) DO UPDATE SET record = excluded.record',
    );
    this.#upsertSpec = database.prepare(
      'INSERT INTO specs VALUES (?, ?) ON CONFLICT (uid) DO UPDATE SET spec = excluded.spec',
    );
    const version = this.setting('schema', () => String(SCHEMA_VERSION));
    if (version !== String(SCHEMA_VERSION))
      throw new InterlinkError(
        'Invalid',
        `${path} has schema ${version} and this version reads ${SCHEMA_VERSION}; use the interlink that wrote it`,
        { code: 'journal.schema' },
      );
  }

  /** Every record, in no order. */
  all(): JobRecord[] {
    const rows = this.#database.prepare('SELECT record FROM jobs').all() as unknown as { record: string }[];
    return rows.map((row) => JSON.parse(row.record) as JobRecord);
  }

  /** A value that was kept by {@link setting}. */
  peek(name: string): string | undefined {
    const row = this.#database.prepare('SELECT value FROM settings WHERE name = ?').get(name);
    return (row as { value: string } | undefined)?.value;
  }

  /** A value that is made once and kept for ever; durable on return. */
  setting(name: string, make: () => string): string {
    const known = this.peek(name);
    if (known !== undefined) return known;
    const value = make();
    this.#database.prepare('INSERT INTO settings VALUES (?, ?)').run(name, value);
    return value;
  }

  /** The specification of a job whose pod has not ended. */
  specOf(uid: string): string | undefined {
    const row = this.#database.prepare('SELECT spec FROM specs WHERE uid = ?').get(uid);
    return (row as { spec: string } | undefined)?.spec;
  }

  /**
   * Writes the record, and the job's specification where one is given; resolves when that is durable. The record of an ended pod drops the specification.
   * @throws Unavailable when the disk refuses it: nothing of the write stays.
   */
  put(record: JobRecord, spec?: string): Promise<void> {
    const isOver = record.state === 'ended' || record.state === 'deleted';
    return this.#enqueue(record.uid, {
      record: JSON.stringify(record),
      spec: spec !== undefined ? { text: spec } : isOver ? 'drop' : 'keep',
    });
  }

  /** Forgets the pod; resolves when that is durable. */
  remove(uid: string): Promise<void> {
    return this.#enqueue(uid, { record: '', spec: 'drop' });
  }

  #enqueue(uid: string, write: Write): Promise<void> {
    if (this.#closed) return Promise.reject(new InterlinkError('Unavailable', 'the sidecar is stopping'));
    const before = this.#pending.get(uid);
    this.#pending.set(uid, before && write.spec === 'keep' ? { ...write, spec: before.spec } : write);
    if (!this.#waiting) {
      this.#waiting = Promise.withResolvers();
      void this.#commitSoon();
    }
    return this.#waiting.promise;
  }

  /**
   * A commit holds up this whole process while the disk syncs. So after one that several writes shared comes a rest in proportion to it, in which more gather for the
   * next: in a burst they share fewer commits, and the two commits of a lone pod follow each other at once.
   */
  async #commitSoon(): Promise<void> {
    await new Promise((resolve) => setImmediate(resolve));
    const restMs = this.#restUntilMs - this.#clock.monotonicMs();
    if (restMs > 0) await this.#clock.sleep(Math.min(restMs, MAX_REST_MS));
    const isShared = this.#pending.size > 1;
    const startedMs = this.#clock.monotonicMs();
    this.#commit();
    const endedMs = this.#clock.monotonicMs();
    this.#restUntilMs = isShared ? endedMs + REST_FACTOR * (endedMs - startedMs) : endedMs;
  }

  #commit(): void {
    const waiting = this.#waiting;
    const writes = [...this.#pending];
    this.#waiting = undefined;
    this.#pending.clear();
    if (this.#closed) {
      waiting?.reject(new InterlinkError('Unavailable', 'the sidecar is stopping'));
      return;
    }
    try {
      this.#database.exec('BEGIN');
      for (const [uid, { record, spec }] of writes) {
        if (record === '') this.#database.prepare('DELETE FROM jobs WHERE uid = ?').run(uid);
        else this.#upsert.run(uid, record);
        if (spec === 'drop') this.#database.prepare('DELETE FROM specs WHERE uid = ?').run(uid);
        else if (spec !== 'keep') this.#upsertSpec.run(uid, spec.text);
      }
      this.#database.exec('COMMIT');
      waiting?.resolve();
    } catch (error) {
      // SQLite has rolled back by itself where the disk was full.
      if (this.#database.isTransaction) this.#database.exec('ROLLBACK');
      waiting?.reject(describe(error, 'the journal'));
    }
  }

  [Symbol.dispose](): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#database.close();
  }
}

function describe(error: unknown, path: string): unknown {
  const code = (error as { errcode?: number }).errcode;
  if (code === SQLITE_BUSY)
    return new InterlinkError(
      'Conflict',
      `${path} is in use by another interlink sidecar; stop that one or set another sidecar.stateDirectory`,
      { code: 'journal.locked', cause: error },
    );
  if (code === SQLITE_NOTADB)
    return new InterlinkError(
      'Invalid',
      `${path} is no journal of interlink; move it away or set another sidecar.stateDirectory`,
      {
        code: 'journal.foreign',
        cause: error,
      },
    );
  if (code === SQLITE_FULL)
    return new InterlinkError('Unavailable', `${path} cannot be written: the disk is full`, {
      code: 'journal.full',
      cause: error,
    });
  if (code !== undefined)
    return new InterlinkError('Unavailable', `${path} cannot be used: ${messageOf(error)}`, {
      code: 'journal.failed',
      cause: error,
    });
  return error;
}
