import { chmod, chown, mkdir, mkdtemp, readdir, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import type { VolumeFile } from './volume-files.ts';

/** Who may use a volume, as far as this process may arrange it. */
export interface VolumeOwnership {
  /** Group of the files; modes get the group's bits of it even where the group cannot be set. */
  readonly fsGroup?: number;
  /** Owner and group can be changed: the runner is root. */
  readonly canChown: boolean;
}

const READ_BY_GROUP = 0o440;
const DIRECTORY_BY_GROUP = 0o2110;

/**
 * Puts `files` into the directory `root` as a kubelet's AtomicWriter does: content in a directory named by the time, `..data` a link to it,
 * one link per top-level name. A second call replaces the content in one step, and readers see the old files or the new ones.
 *
 * @see https://github.com/kubernetes/kubernetes/blob/v1.36.3/pkg/volume/util/atomic_writer.go
 */
export async function writeVolume(
  root: string,
  files: readonly VolumeFile[],
  ownership: VolumeOwnership,
  nowMs: number,
): Promise<void> {
  const { fsGroup } = ownership;
  await mkdir(root, { recursive: true });
  await own(root, 0o777, true, ownership);
  const content = await mkdtemp(join(root, contentPrefix(nowMs)));
  const directories = new Set<string>([content]);
  for (const { path, content: bytes, mode } of files) {
    const target = join(content, path);
    for (let parent = dirname(target); !directories.has(parent); parent = dirname(parent)) directories.add(parent);
    await mkdir(dirname(target), { recursive: true });
    // Two keys with one path: the later one counts, as with a kubelet.
    await rm(target, { force: true });
    await writeFile(target, bytes, { mode: 0o600, flag: 'wx' });
    await own(target, fsGroup === undefined ? mode : mode | READ_BY_GROUP, false, ownership);
  }
  for (const directory of directories) await own(directory, 0o755, true, ownership);

  const old = (await readdir(root)).filter(
    (name) => name.startsWith('..') && !name.startsWith('..data') && join(root, name) !== content,
  );
  const names = new Set(files.map(({ path }) => path.split('/').find((part) => part !== '' && part !== '.') as string));
  const link = join(root, '..data_tmp');
  await rm(link, { force: true });
  await symlink(basename(content), link);
  await rename(link, join(root, '..data'));
  for (const name of await readdir(root)) {
    if (!name.startsWith('..') && !names.has(name)) await rm(join(root, name), { force: true });
    else names.delete(name);
  }
  for (const name of names) await symlink(join('..data', name), join(root, name));
  for (const name of old) await rm(join(root, name), { recursive: true, force: true });
}

/** `..2026_11_25_15_07_33.`, as a kubelet's names begin. */
function contentPrefix(nowMs: number): string {
  return `..${new Date(nowMs).toISOString().slice(0, 19).replaceAll(/[-:T]/g, '_')}.`;
}

async function own(
  path: string,
  mode: number,
  directory: boolean,
  { fsGroup, canChown }: VolumeOwnership,
): Promise<void> {
  if (fsGroup !== undefined && canChown) await chown(path, -1, fsGroup);
  const group = fsGroup === undefined ? 0 : directory ? READ_BY_GROUP | DIRECTORY_BY_GROUP : READ_BY_GROUP;
  await chmod(path, mode | group);
}
