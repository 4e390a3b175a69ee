import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { CommandRunner } from '../../../src/base/command.ts';
import { hasId, ownIdMap, rootIdMap, writeIdMap } from '../../../src/runner/namespace-ids.ts';

let etc: string;
beforeAll(async () => {
  etc = await mkdtemp(join(tmpdir(), 'interlink-etc-'));
});
afterAll(() => rm(etc, { recursive: true }));

const own = { uid: 5001, gid: 5002, userName: 'alice' };

describe('the ids of a pod', () => {
  it('are root and what the site gives the user by name or number', async () => {
    await writeFile(join(etc, 'subuid'), '# none\nbob:1:5\nalice:100000:1000\n5001:200000:24\nalice:x:3\nalice:7:0\n');
    await writeFile(join(etc, 'subgid'), 'alice:300000:65536\n');
    const map = await rootIdMap(own, { etc });
    expect(map).toEqual({
      uids: [
        { inside: 0, outside: 5001, count: 1 },
        { inside: 1, outside: 100_000, count: 1000 },
        { inside: 1001, outside: 200_000, count: 24 },
      ],
      gids: [
        { inside: 0, outside: 5002, count: 1 },
        { inside: 1, outside: 300_000, count: 65_536 },
      ],
      canSetGroups: true,
    });
    expect([0, 1000, 1024, 1025].map((id) => hasId(map.uids, id))).toEqual([true, true, true, false]);
  });

  it('are root alone where one of the files gives nothing', async () => {
    await rm(join(etc, 'subgid'));
    expect(await rootIdMap(own, { etc })).toMatchObject({
      uids: [{ inside: 0 }],
      gids: [{ inside: 0 }],
      canSetGroups: false,
    });
  });

  it('are written by this process for one id, and by the tools for more', async () => {
    const written: string[] = [];
    const calls: string[][] = [];
    const result = { exitSignal: null, stdout: '', stderr: 'range not allowed\n', timedOut: false, truncated: false };
    const commandsWith = (exitCode: number): CommandRunner => ({
      async run(argv) {
        calls.push([...argv]);
        return { argv, exitCode, ...result };
      },
    });
    const write = async (path: string, content: string): Promise<void> => {
      written.push(`${path} ${content}`);
    };
    await writeIdMap(42, ownIdMap(own), { commands: commandsWith(0), write });
    expect(written).toEqual([
      '/proc/42/setgroups deny',
      '/proc/42/gid_map 5002 5002 1\n',
      '/proc/42/uid_map 5001 5001 1\n',
    ]);
    const range = [{ inside: 0, outside: 5001, count: 1 }, { inside: 1, outside: 100_000, count: 10 }]; // biome-ignore format: as in the file
    const map = { uids: range, gids: range, canSetGroups: true };
    await writeIdMap(42, map, { commands: commandsWith(0), write });
    const args = ['42', '0', '5001', '1', '1', '100000', '10'];
    expect(calls).toEqual([
      ['newgidmap', ...args],
      ['newuidmap', ...args],
    ]);
    await expect(writeIdMap(42, map, { commands: commandsWith(1), write })).rejects.toMatchObject({
      code: 'runtime.ids',
      message: 'newgidmap refused the ids of this user: range not allowed',
    });
  });
});
