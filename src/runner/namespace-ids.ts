import { readFile } from 'node:fs/promises';
import type { CommandRunner } from '../base/command.ts';
import { InterlinkError, systemCodeOf } from '../base/errors.ts';

/** One line of a user namespace's map: `count` ids from `inside` are the ids from `outside` on the worker. */
export interface IdRange {
  readonly inside: number;
  readonly outside: number;
  readonly count: number;
}

/** Which ids exist in a pod and what they are on the worker; undefined stands for the worker's own ids, which only root can give. */
export interface IdMap {
  readonly uids: readonly IdRange[];
  readonly gids: readonly IdRange[];
  /** Whether the kernel lets processes choose supplementary groups: only where `newgidmap` wrote the map. */
  readonly canSetGroups: boolean;
}

/** Who runs this process on the worker. */
export interface OwnIds {
  readonly uid: number;
  readonly gid: number;
  readonly userName: string;
}

/** The worker's user is the same user in the pod, and nobody else exists there. */
export function ownIdMap({ uid, gid }: OwnIds): IdMap {
  return {
    uids: [{ inside: uid, outside: uid, count: 1 }],
    gids: [{ inside: gid, outside: gid, count: 1 }],
    canSetGroups: false,
  };
}

/**
 * The worker's user is root in the pod; the other ids come from the ranges that the site has given the user in `/etc/subuid` and `/etc/subgid`,
 * and do not exist where it has given none, or where `ranges` says that they are not to be used.
 * @see subuid(5)
 */
export async function rootIdMap(
  { uid, gid, userName }: OwnIds,
  { ranges = true, etc = '/etc' }: { readonly ranges?: boolean; readonly etc?: string } = {},
): Promise<IdMap> {
  const [uids, gids] = ranges
    ? await Promise.all([
        subordinateIds(`${etc}/subuid`, userName, uid),
        subordinateIds(`${etc}/subgid`, userName, uid),
      ])
    : [[], []];
  const complete = uids.length > 0 && gids.length > 0;
  return {
    uids: [{ inside: 0, outside: uid, count: 1 }, ...(complete ? uids : [])],
    gids: [{ inside: 0, outside: gid, count: 1 }, ...(complete ? gids : [])],
    canSetGroups: complete,
  };
}

/** Whether the id exists in the pod. */
export function hasId(map: readonly IdRange[], id: number): boolean {
  return map.some(({ inside, count }) => id >= inside && id < inside + count);
}

async function subordinateIds(path: string, userName: string, uid: number): Promise<readonly IdRange[]> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    if (systemCodeOf(error) === 'ENOENT' || systemCodeOf(error) === 'EACCES') return [];
    throw error;
  }
  const ranges: IdRange[] = [];
  let inside = 1;
  for (const line of text.split('\n')) {
    const [owner, first, size] = line.trim().split(':');
    if (owner !== userName && owner !== String(uid)) continue;
    const [outside, count] = [Number(first), Number(size)];
    if (!Number.isSafeInteger(outside) || !Number.isSafeInteger(count) || count <= 0) continue;
    ranges.push({ inside, outside, count });
    inside += count;
  }
  return ranges;
}

export interface WriteIdMapDeps {
  readonly commands: CommandRunner;
  /** Writes one file of `/proc/PID`; a parameter for tests. */
  readonly write: (path: string, content: string) => Promise<void>;
}

/**
 * Gives the new user namespace of process `pid` its ids: the kernel takes a single own id from anybody, anything more needs the set-user-id
 * programs `newuidmap` and `newgidmap`.
 * @throws Unavailable when they are missing or refuse.
 */
export async function writeIdMap(pid: number, map: IdMap, { commands, write }: WriteIdMapDeps): Promise<void> {
  if (!map.canSetGroups) {
    const text = (ranges: readonly IdRange[]): string =>
      ranges.map(({ inside, outside, count }) => `${inside} ${outside} ${count}\n`).join('');
    await write(`/proc/${pid}/setgroups`, 'deny');
    await write(`/proc/${pid}/gid_map`, text(map.gids));
    await write(`/proc/${pid}/uid_map`, text(map.uids));
    return;
  }
  await runMapTool('newgidmap', pid, map.gids, commands);
  await runMapTool('newuidmap', pid, map.uids, commands);
}

async function runMapTool(
  tool: string,
  pid: number,
  ranges: readonly IdRange[],
  commands: CommandRunner,
): Promise<void> {
  const args = ranges.flatMap(({ inside, outside, count }) => [String(inside), String(outside), String(count)]);
  const result = await commands.run([tool, String(pid), ...args], {
    env: { PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' },
    timeoutMs: 10_000,
  });
  if (result.exitCode !== 0)
    throw new InterlinkError('Unavailable', `${tool} refused the ids of this user: ${result.stderr.trim()}`, {
      code: 'runtime.ids',
    });
}
