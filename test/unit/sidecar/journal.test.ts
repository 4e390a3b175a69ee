import { chmod, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { systemClock } from '../../../src/base/clock.ts';
import type { JobRecord } from '../../../src/sidecar/batch/job-record.ts';
import { Journal } from '../../../src/sidecar/batch/journal.ts';

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'interlink-journal-'));
});
afterEach(() => rm(directory, { recursive: true, force: true }));

const path = (): string => join(directory, 'journal.sqlite');
const record = (uid: string, change: Partial<JobRecord> = {}): JobRecord => ({
  uid,
  namespace: 'n',
  name: 'p',
  state: 'accepted',
  hash: 'h',
  outline: { containers: [], initContainers: [], gracePeriodSeconds: 30 },
  plan: { options: [] },
  attempt: 0,
  createdMs: 1,
  gone: false,
  ...change,
});

test('what was written is there after reopening, the last of each pod', async () => {
  {
    using journal = Journal.open(path(), systemClock);
    const writes = [
      journal.put(record('a')),
      journal.put(record('b')),
      journal.put(record('a', { state: 'submitting' })),
    ];
    await Promise.all(writes);
    await journal.remove('b');
  }
  using journal = Journal.open(path(), systemClock);
  expect(journal.all()).toEqual([record('a', { state: 'submitting' })]);
});

test('a specification is kept until its pod has ended, and then overwritten on the disk', async () => {
  const spec = `secret-${'x'.repeat(20_000)}`;
  {
    using journal = Journal.open(path(), systemClock);
    await Promise.all([journal.put(record('a'), spec), journal.put(record('a', { state: 'submitting' }))]);
    await journal.put(record('a', { state: 'submitted' }));
    expect(journal.specOf('a')).toBe(spec);
  }
  expect(await readFile(path(), 'latin1')).toContain('secret-');
  {
    using journal = Journal.open(path(), systemClock);
    await journal.put(record('a', { state: 'ended' }));
    expect(journal.specOf('a')).toBeUndefined();
  }
  expect(await readFile(path(), 'latin1')).not.toContain('secret-');
});

test('writes of one moment share a commit', async () => {
  using journal = Journal.open(path(), systemClock);
  const commits = new Set<Promise<void>>();
  for (let index = 0; index < 100; index += 1) commits.add(journal.put(record(`u${index}`)));
  expect(commits.size).toBe(1);
  await Promise.all(commits);
  expect(journal.all()).toHaveLength(100);
});

test('it is private and has one owner', async () => {
  using journal = Journal.open(path(), systemClock);
  await journal.put(record('a'));
  expect((await stat(path())).mode & 0o777).toBe(0o600);
  expect(() => Journal.open(path(), systemClock)).toThrow(
    expect.objectContaining({ kind: 'Conflict', message: expect.stringContaining('another interlink sidecar') }),
  );
});

test('a setting is made once', () => {
  using journal = Journal.open(path(), systemClock);
  expect(journal.setting('site', () => 'one')).toBe('one');
  expect(journal.setting('site', () => 'two')).toBe('one');
  expect(journal.peek('other')).toBeUndefined();
});

test('a file that is no journal is left alone and named', async () => {
  await writeFile(path(), 'x'.repeat(4096));
  expect(() => Journal.open(path(), systemClock)).toThrow(
    expect.objectContaining({ kind: 'Invalid', code: 'journal.foreign' }),
  );
});

test('a journal of another version is refused', () => {
  {
    using journal = Journal.open(path(), systemClock);
    journal.setting('schema', () => '1');
  }
  const database = new (process.getBuiltinModule('node:sqlite').DatabaseSync)(path());
  database.exec("UPDATE settings SET value = '99' WHERE name = 'schema'");
  database.close();
  expect(() => Journal.open(path(), systemClock)).toThrow(/schema 99/);
});

test('nothing is written after its end', async () => {
  const journal = Journal.open(path(), systemClock);
  const late = journal.put(record('a'));
  journal[Symbol.dispose]();
  await expect(late).rejects.toMatchObject({ kind: 'Unavailable' });
  await expect(journal.put(record('b'))).rejects.toMatchObject({ kind: 'Unavailable' });
  await chmod(directory, 0o700);
});
