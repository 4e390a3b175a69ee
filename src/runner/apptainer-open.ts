import { open, readFile, realpath, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { InterlinkError, messageOf } from '../base/errors.ts';
import { type ImageConfig, parseOciConfig, type ReadImageFile, readScriptConfig } from './image-config.ts';
import { type ImageDescription, parseImageDescription } from './image-description.ts';
import { showLayers } from './image-layers.ts';
import { readSif } from './image-sif.ts';
import { findProgram, HELPER_PATH } from './image-tool.ts';
import { type ImageUsers, parseImageUsers } from './image-users.ts';
import { runInSandbox, type SandboxCommandResult } from './namespace-exec.ts';
import type { IdMap } from './namespace-ids.ts';
import { LINUX } from './namespace-linux.ts';
import type { Sandbox } from './namespace-sandbox.ts';

/** An image that the sandbox shows. */
export interface OpenImage {
  /** Directories in the sandbox, the topmost layer first. */
  readonly lowers: readonly string[];
  readonly config: ImageConfig;
  readonly users: ImageUsers;
  /** Whether its files belong to nobody in the pod, so that none of them can be changed and nothing be added by the kernel's overlay. */
  readonly foreign: boolean;
}

export interface OpenImageDeps {
  readonly sandbox: Sandbox;
  /** Where programs are looked for. */
  readonly path: string;
  /** Name under the sandbox's directory for a file system image. */
  readonly name: string;
}

/**
 * Shows the image in the sandbox, and reads how it wants to be run: unpacked directories as they are, a SIF or squashfs file by a FUSE process that lives as
 * long as the sandbox.
 *
 * @throws InterlinkError with code `ImageInspectError` for what is no image, Unsupported with `CreateContainerError` where the worker cannot mount it.
 */
export async function openImage(path: string, deps: OpenImageDeps): Promise<OpenImage> {
  let found: Awaited<ReturnType<typeof stat>>;
  try {
    found = await stat(path);
  } catch (error) {
    throw notReadable(path, error);
  }
  if (found.isDirectory()) {
    const read = directoryReader(path);
    return { lowers: [path], config: await readScriptConfig(read), ...(await shownAs(found.uid, read, deps)) };
  }
  switch (await kindOf(path)) {
    case 'description':
      return openLayers(parseImageDescription(await readFile(path, 'utf8')), deps);
    case 'squashfs': {
      const lower = await mountSquashfs(path, 0, deps);
      const read = sandboxReader(lower, deps);
      return { lowers: [lower], config: await readScriptConfig(read), users: await readUsers(read), foreign: false };
    }
    case 'SIF': {
      const sif = await readSif(path);
      const lower = await mountSquashfs(path, sif.offset, deps);
      const read = sandboxReader(lower, deps);
      const config = sif.ociConfig === undefined ? await readScriptConfig(read) : parseOciConfig(sif.ociConfig);
      return { lowers: [lower], config, users: await readUsers(read), foreign: false };
    }
  }
}

/** What a file is by its first bytes; what it could be else is for the reader of SIF files to say. */
async function kindOf(path: string): Promise<'description' | 'squashfs' | 'SIF'> {
  const file = await open(path, 'r').catch((error: unknown) => {
    throw notReadable(path, error);
  });
  try {
    const { buffer } = await file.read(Buffer.alloc(4), 0, 4, 0);
    const magic = buffer.toString('latin1');
    return magic === 'hsqs' ? 'squashfs' : magic.startsWith('{') ? 'description' : 'SIF';
  } finally {
    await file.close();
  }
}

async function openLayers({ layers, config }: ImageDescription, deps: OpenImageDeps): Promise<OpenImage> {
  const [top, ...others] = layers as readonly [string, ...string[]];
  let uid: number;
  try {
    ({ uid } = await stat(top));
  } catch (error) {
    throw notReadable(top, error);
  }
  const read =
    others.length === 0 ? directoryReader(top) : sandboxReader(await showLayers(layers, deps.name, deps.sandbox), deps);
  return { lowers: layers, config, ...(await shownAs(uid, read, deps)) };
}

async function shownAs(
  uid: number,
  read: ReadImageFile,
  { sandbox }: OpenImageDeps,
): Promise<Pick<OpenImage, 'users' | 'foreign'>> {
  return { users: await readUsers(read), foreign: !isOurs(uid, sandbox.ids) };
}

function notReadable(path: string, error: unknown): InterlinkError {
  return new InterlinkError('NotFound', `${path}: ${messageOf(error)}`, { code: 'ImageInspectError', cause: error });
}

async function readUsers(read: ReadImageFile): Promise<ImageUsers> {
  const [passwd = '', group = ''] = await Promise.all([read('/etc/passwd'), read('/etc/group')]);
  return parseImageUsers(passwd, group);
}

/** A link that leads out of the image is as good as no file. */
function directoryReader(root: string): ReadImageFile {
  return async (path) => {
    try {
      const real = await realpath(join(root, path));
      return real.startsWith(`${await realpath(root)}/`) ? await readFile(real, 'utf8') : undefined;
    } catch {
      return undefined;
    }
  };
}

function sandboxReader(root: string, { sandbox, path: searchPath }: OpenImageDeps): ReadImageFile {
  const cat = findProgram('cat', searchPath) ?? '/bin/cat';
  return async (path) => {
    const { exitCode, stdout } = await runInSandbox(sandbox, [cat, '--', join(root, path)]);
    return exitCode === 0 ? stdout : undefined;
  };
}

function isOurs(uid: number, ids: IdMap | undefined): boolean {
  return ids === undefined || ids.uids.some(({ outside, count }) => uid >= outside && uid < outside + count);
}

async function mountSquashfs(image: string, offset: number, { sandbox, path, name }: OpenImageDeps): Promise<string> {
  const search = `${path}:${HELPER_PATH}`;
  const program = findProgram('squashfuse_ll', search) ?? findProgram('squashfuse', search);
  if (program === undefined)
    throw cannotMount(
      image,
      'neither squashfuse_ll nor squashfuse is installed on this worker (packages apptainer, squashfuse)',
    );
  const target = join(sandbox.work, name);
  const { AT_FDCWD, EEXIST } = LINUX;
  await sandbox.run([{ call: 'mkdirat', args: [AT_FDCWD, target, 0o755], tolerate: [EEXIST], what: `make ${target}` }]);
  const mount = (options: readonly string[]): Promise<SandboxCommandResult> =>
    runInSandbox(sandbox, [program, '-o', options.join(','), image, target], { PATH: dirname(program) });
  const options = [`offset=${offset}`, 'allow_other'];
  // Where the pod has only its root, every file of the image had better be root's; squashfuse knows how since 0.2.
  const single = sandbox.ids !== undefined && !sandbox.ids.canSetGroups;
  let result = await mount(single ? [...options, 'uid=0', 'gid=0'] : options);
  if (single && result.stderr.includes('unknown option')) result = await mount(options);
  if (result.exitCode !== 0)
    throw cannotMount(image, result.stderr.trim() || `${program} ended with ${result.exitCode}`);
  return target;
}

function cannotMount(image: string, why: string): InterlinkError {
  return new InterlinkError(
    'Unsupported',
    `${image} cannot be mounted: ${why}; let the administrator allow FUSE (/dev/fuse), or map the image to an unpacked directory`,
    { code: 'CreateContainerError' },
  );
}
