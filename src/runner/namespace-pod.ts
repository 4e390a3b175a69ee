import { mkdtemp, rm, stat } from 'node:fs/promises';
import { release } from 'node:os';
import { join } from 'node:path';
import type { Clock } from '../base/clock.ts';
import type { CommandRunner } from '../base/command.ts';
import { InterlinkError, messageOf } from '../base/errors.ts';
import { makePrivateDirectory } from '../base/files.ts';
import type { Logger } from '../base/logger.ts';
import type { ContainerOutput, ContainerPlan, Mount, RunningContainer } from './container-runtime.ts';
import { diskUsage } from './disk-usage.ts';
import { fileTree } from './file-tree.ts';
import { type ContainerSetup, startContainer } from './namespace-container.ts';
import { hasId, type IdMap } from './namespace-ids.ts';
import { LINUX } from './namespace-linux.ts';
import type { SystemCall } from './namespace-program.ts';
import { createSandbox, type Sandbox } from './namespace-sandbox.ts';

export interface PodNamespacesDeps {
  /** Private directory on the worker for this pod alone; made where it is missing. Programs must be allowed to run there. */
  readonly directory: string;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly commands: CommandRunner;
}

/** The sandbox of one pod, made when it is first needed, and what containers ask of it. */
export class PodNamespaces {
  readonly #deps: PodNamespacesDeps;
  readonly #ids: () => Promise<IdMap | undefined>;
  readonly #prepared = new Map<string, Promise<void>>();
  #sandbox: Promise<Sandbox> | undefined;
  #elsewhere: string | undefined;

  constructor(deps: PodNamespacesDeps, ids: () => Promise<IdMap | undefined>) {
    this.#deps = deps;
    this.#ids = ids;
  }

  /**
   * The sandbox.
   * @throws Unsupported as `createSandbox`; the next call tries again.
   */
  sandbox(): Promise<Sandbox> {
    this.#sandbox ??= this.#create().catch((error: unknown) => {
      this.#sandbox = undefined;
      throw error;
    });
    return this.#sandbox;
  }

  /** Does `prepare` once in the life of the sandbox for each `key`; tries again after a failure. */
  once(key: string, prepare: () => Promise<void>): Promise<void> {
    const done =
      this.#prepared.get(key) ??
      prepare().catch((error: unknown) => {
        this.#prepared.delete(key);
        throw error;
      });
    this.#prepared.set(key, done);
    return done;
  }

  /**
   * Does what the plan asks of the sandbox: kernel settings, the size of `/dev/shm`, the tmpfs of memory volumes, the pod's group as owner of volumes.
   * @throws Unsupported with code `CreateContainerConfigError` for a kernel setting that cannot be had
   */
  async prepare(plan: ContainerPlan, sandbox: Sandbox): Promise<void> {
    const { fsGroup } = plan.security;
    const { sharedMemoryBytes } = plan;
    for (const sysctl of plan.sysctls ?? []) await this.once(`sysctl ${sysctl.name}`, () => setSysctl(sysctl, sandbox));
    if (sharedMemoryBytes !== undefined)
      await this.once('shared memory', () => sandbox.run([sharedMemoryCall(sandbox, sharedMemoryBytes)]));
    for (const mount of plan.mounts) {
      if (mount.tmpfs) await this.once(`${TMPFS}${mount.source}`, () => mountTmpfs(mount, sandbox));
      if (
        fsGroup === undefined ||
        mount.optional ||
        mount.keepOwner ||
        mount.tmpfs ||
        !sandbox.ids ||
        !hasId(sandbox.ids.gids, fsGroup)
      )
        continue;
      await this.once(`group ${mount.source}`, async () => {
        const paths = await fileTree(mount.source);
        await sandbox.run(paths.map((path) => chownCall(path, fsGroup)));
      });
    }
  }

  /** As {@link prepare} does with volumes, for new content of them. */
  async giveToGroup(paths: readonly string[], gid: number): Promise<void> {
    const sandbox = await this.sandbox();
    if (sandbox.ids && hasId(sandbox.ids.gids, gid)) await sandbox.run(paths.map((path) => chownCall(path, gid)));
  }

  async start(setup: ContainerSetup, output: ContainerOutput, sandbox: Sandbox): Promise<RunningContainer> {
    const { clock, logger } = this.#deps;
    return startContainer(setup, output, { sandbox, clock, logger });
  }

  /** @throws Unavailable as `diskUsage`, Unsupported where there is no sandbox. */
  async diskUsage(paths: readonly string[]): Promise<readonly number[]> {
    const sandbox = await this.sandbox();
    return diskUsage(paths, sandbox.join(), sandbox.directory);
  }

  async removeTrees(paths: readonly string[]): Promise<void> {
    const sandbox = await this.sandbox();
    const memory = [...this.#prepared.keys()]
      .filter((key) => key.startsWith(TMPFS))
      .map((key) => key.slice(TMPFS.length));
    await sandbox.run([
      ...memory.map(
        (path): SystemCall => ({
          call: 'umount2',
          args: [path, LINUX.MNT_DETACH],
          tolerate: 'all', // removed before
          what: 'unmount a memory volume',
        }),
      ),
      {
        call: 'execve',
        args: ['/bin/rm', { strings: ['rm', '-rf', '--', ...paths] }, { strings: [] }],
        what: 'remove volumes',
      },
    ]);
  }

  async close(): Promise<void> {
    const sandbox = this.#sandbox;
    this.#sandbox = undefined;
    this.#prepared.clear();
    await (await sandbox?.catch(() => undefined))?.close();
    if (this.#elsewhere !== undefined) await rm(this.#elsewhere, { recursive: true, force: true });
    this.#elsewhere = undefined;
  }

  /** In the pod's directory, or where that is mounted noexec in one of the places that workers have for everybody. */
  async #create(): Promise<Sandbox> {
    const { directory, logger } = this.#deps;
    await makePrivateDirectory(directory);
    const ids = await this.#ids();
    try {
      return await this.#createIn(directory, ids);
    } catch (error) {
      if (!isNoExec(error)) throw error;
      logger.warn('the directory of the runtime does not allow execution', { directory, err: error });
      for (const parent of ELSEWHERE) {
        const other = await mkdtemp(join(parent, 'interlink-')).catch(() => undefined);
        if (other === undefined) continue;
        try {
          const sandbox = await this.#createIn(other, ids);
          this.#elsewhere = other;
          return sandbox;
        } catch (again) {
          await rm(other, { recursive: true, force: true });
          if (!isNoExec(again)) throw again;
        }
      }
      throw error;
    }
  }

  async #createIn(directory: string, ids: IdMap | undefined): Promise<Sandbox> {
    const { commands, logger } = this.#deps;
    try {
      return await createSandbox({ directory, commands, ...(ids && { ids }) });
    } catch (error) {
      if (!ids?.canSetGroups || !(error instanceof InterlinkError) || error.code !== 'runtime.ids') throw error;
      logger.warn('ranges of ids cannot be used; the pod has root alone', { err: error });
      return createSandbox({ directory, commands, ids: withoutRanges(ids) });
    }
  }
}

/** Starts the keys of memory volumes; what comes behind is their directory. */
const TMPFS = 'tmpfs ';

const ELSEWHERE = ['/dev/shm', '/tmp', '/var/tmp'];

function isNoExec(error: unknown): boolean {
  return error instanceof InterlinkError && error.code === 'runtime.noexec';
}

/** Just the first entry of each map, which is the user of this process. */
function withoutRanges({ uids, gids }: IdMap): IdMap {
  return { uids: uids.slice(0, 1), gids: gids.slice(0, 1), canSetGroups: false };
}

async function setSysctl({ name, value }: { name: string; value: string }, sandbox: Sandbox): Promise<void> {
  const what = `set ${name}`;
  const path = `/proc/sys/${name.replaceAll('.', '/')}`;
  const text = Buffer.from(value);
  try {
    await sandbox.run([
      { call: 'openat', args: [LINUX.AT_FDCWD, path, LINUX.O_WRONLY | LINUX.O_CLOEXEC, 0], save: 'sysctl', what },
      { call: 'write', args: [{ slot: 'sysctl' }, text, text.length], what },
    ]);
  } catch (cause) {
    throw new InterlinkError(
      'Unsupported',
      `securityContext.sysctls: ${name}=${JSON.stringify(value)} cannot be set on this worker (Linux ${release()}): ${messageOf(cause)}; older kernels let only root do it`,
      { code: 'CreateContainerConfigError', cause },
    );
  }
}

function sharedMemoryCall({ work }: Sandbox, bytes: number): SystemCall {
  const { MS_NODEV, MS_NOSUID, MS_REMOUNT } = LINUX;
  return {
    call: 'mount',
    args: ['tmpfs', join(work, 'shm'), 'tmpfs', MS_REMOUNT | MS_NOSUID | MS_NODEV, `mode=1777,size=${bytes}`],
    what: 'size /dev/shm',
  };
}

async function mountTmpfs({ source, tmpfs }: Mount, sandbox: Sandbox): Promise<void> {
  const { mode, gid } = await stat(source);
  const options = [
    `mode=${(mode & 0o7777).toString(8)}`,
    ...(tmpfs?.sizeBytes === undefined ? [] : [`size=${tmpfs.sizeBytes}`]),
    // The group of a directory that root has given away; in a user namespace it comes with the pod's group.
    ...(sandbox.ids === undefined ? [`gid=${gid}`] : []),
  ];
  const { MS_NODEV, MS_NOSUID } = LINUX;
  await sandbox.run([
    {
      call: 'mount',
      args: ['tmpfs', source, 'tmpfs', MS_NOSUID | MS_NODEV, options.join(',')],
      what: 'mount a memory volume',
    },
  ]);
}

function chownCall(path: string, gid: number): SystemCall {
  const { AT_FDCWD, AT_SYMLINK_NOFOLLOW, ENOENT } = LINUX;
  return {
    call: 'fchownat',
    args: [AT_FDCWD, path, -1, gid, AT_SYMLINK_NOFOLLOW],
    // Content that was replaced meanwhile; the new one has been given to the group before it was shown.
    tolerate: [ENOENT],
    what: `give a volume to the group ${gid}`,
  };
}
