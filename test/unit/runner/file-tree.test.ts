import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { fileTree } from '../../../src/runner/file-tree.ts';

it('a tree is the path and everything below it, with links but not what they lead to', async () => {
  const root = await mkdtemp(join(tmpdir(), 'interlink-tree-'));
  onTestFinished(() => rm(root, { recursive: true }));
  await mkdir(join(root, 'a/b'), { recursive: true });
  await writeFile(join(root, 'a/b/f'), '');
  await symlink('a', join(root, 'link'));
  await symlink('nowhere', join(root, 'dangling'));
  const names = ['', '/a', '/a/b', '/a/b/f', '/dangling', '/link'];
  expect((await fileTree(root)).toSorted()).toEqual(names.map((name) => `${root}${name}`));
  expect(await fileTree(join(root, 'a/b/f'))).toEqual([join(root, 'a/b/f')]);
  await expect(fileTree(join(root, 'none'))).rejects.toThrow('ENOENT');
});
