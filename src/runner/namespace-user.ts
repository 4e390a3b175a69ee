import { userInfo } from 'node:os';

/** The user that this process runs as on the worker. */
export interface WorkerUser {
  readonly uid: number;
  readonly gid: number;
  readonly groups: readonly number[];
  readonly userName: string;
  readonly home: string;
}

/** An id that the worker's user database does not know has its number as name and `/` as home. */
export function currentUser(): WorkerUser {
  const ids = {
    uid: process.geteuid?.() ?? -1,
    gid: process.getegid?.() ?? -1,
    groups: process.getgroups?.() ?? [],
  };
  try {
    const { username, homedir } = userInfo();
    return { ...ids, userName: username, home: homedir };
  } catch {
    return { ...ids, userName: String(ids.uid), home: '/' };
  }
}
