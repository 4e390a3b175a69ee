import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import type { Clock } from '../base/clock.ts';
import { makePrivateDirectory } from '../base/files.ts';

/** Which sidecar has a pod, by UID; survives a restart. */
export interface RouteStore extends Disposable {
  get(uid: string): string | undefined;
  /** The sidecar of a pod: the one that is on record, else `sidecar`, which is durable when the call returns. */
  claim(uid: string, sidecar: string): string;
  /** The sidecar has forgotten the pod. */
  forget(uid: string): void;
  /** The pod was deleted; the record is kept for a week, so that a late create goes to the sidecar that refuses it. */
  markDeleted(uid: string): void;
}

const KEEP_DELETED_MS = 7 * 24 * 3600_000;

/** Opens the record in `directory` (0700) and drops what was deleted a week ago. */
export async function openRouteStore(directory: string, clock: Clock): Promise<RouteStore> {
  await makePrivateDirectory(directory);
  const database = new DatabaseSync(join(directory, 'routes.sqlite'));
  database.exec(`
    PRAGMA journal_mode = TRUNCATE;
    PRAGMA synchronous = FULL;
    CREATE TABLE IF NOT EXISTS routes (uid TEXT PRIMARY KEY, sidecar TEXT NOT NULL, deletedAtMs INTEGER) STRICT;
  `);
  database.prepare('DELETE FROM routes WHERE deletedAtMs < ?').run(clock.nowMs() - KEEP_DELETED_MS);
  const select = database.prepare('SELECT sidecar FROM routes WHERE uid = ?');
  const insert = database.prepare('INSERT INTO routes (uid, sidecar) VALUES (?, ?) ON CONFLICT DO NOTHING');
  const remove = database.prepare('DELETE FROM routes WHERE uid = ?');
  const mark = database.prepare('UPDATE routes SET deletedAtMs = ? WHERE uid = ? AND deletedAtMs IS NULL');

  const get = (uid: string): string | undefined => (select.get(uid) as { sidecar: string } | undefined)?.sidecar;

  return {
    get,
    claim(uid, sidecar) {
      const known = get(uid);
      if (known !== undefined) return known;
      insert.run(uid, sidecar);
      return sidecar;
    },
    forget(uid) {
      remove.run(uid);
    },
    markDeleted(uid) {
      mark.run(clock.nowMs(), uid);
    },
    [Symbol.dispose]() {
      database.close();
    },
  };
}
