import { chmod, chown, mkdir, mkdtemp, readdir, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import type { VolumeFile } from './volume-files.ts';

/** Who may use a volume, as far as this process may arrange it. */
export interface VolumeOwnership {
  /** Group of the files; modes get the group's bits of it even where the group cannot be set. */
  readonly fsGroup?: number;
  /** Owner and group can be changed: the runner is root. */
  readonly canChown: boolean;
  /** Gives files to {@link fsGroup} where this process may not and somebody else may. */
  readonly give?: (paths: readonly string[], gid: number) => Promise<void>;
}

const READ_BY_GROUP = 0o440;
const DIRECTORY_BY_GROUP = 0o2110;

/**
 * Puts `files` into the directory `root` as a kubelet's AtomicWriter does: content in a directory named by the time, `..data` a link to it,
 * one link per top-level name. A second call replaces the content in one step, and readers see the old files or the new ones. When it fails the old content stays.
 *
 * @param held names of content directories that are not removed, because something is mounted from them
 * @see https://github.com/kubernetes/kubernetes/blob/v1.36.3/pkg/volume/util/atomic_writer.go
 */
export async function writeVolume(
  root: string,
  files: readonly VolumeFile[],
  ownership: VolumeOwnership,
  nowMs: number,
  held: ReadonlySet<string> = new Set(),
): Promise<void> {
  // Only once: the volume may belong to the group of the pod by now, and this process may not give it that mode again.
  if ((await mkdir(root, { recursive: true })) !== undefined) await own(root, 0o777, true, ownership);
  const content = await mkdtemp(join(root, contentPrefix(nowMs)));
  try {
    await fill(content, files, ownership);
    const link = join(root, '..data_tmp');
    await rm(link, { force: true });
    await symlink(basename(content), link);
    await rename(link, join(root, '..data'));
  } catch (error) {
    await rm(content, { recursive: true, force: true });
    throw error;
  }
  const missing = new Set(
    files.map(({ path }) => path.split('/').find((part) => part !== '' && part !== '.') as string),
  );
  const old: string[] = [];
  for (const name of await readdir(root)) {
    if (name.startsWith('..')) {
      if (name !== '..data' && name !== basename(content) && !held.has(name)) old.push(name);
    } else if (!missing.delete(name)) await rm(join(root, name), { force: true });
  }
  for (const name of missing) await symlink(join('..data', name), join(root, name));
  for (const name of old) await rm(join(root, name), { recursive: true, force: true });
}

async function fill(content: string, files: readonly VolumeFile[], ownership: VolumeOwnership): Promise<void> {
  const { fsGroup, give } = ownership;
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
  if (fsGroup !== undefined) await give?.([...directories, ...files.map(({ path }) => join(content, path))], fsGroup);
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
