import { randomBytes } from 'node:crypto';
import { dirname, join } from 'node:path';
import { InterlinkError } from '../base/errors.ts';
import { findProgram, HELPER_PATH } from './image-tool.ts';
import { runInSandbox } from './namespace-exec.ts';
import { LINUX } from './namespace-linux.ts';
import type { SystemCall } from './namespace-program.ts';
import type { Sandbox } from './namespace-sandbox.ts';

/** A root with a layer for changes, mounted in the sandbox for one container. */
export interface FuseOverlay {
  /** Directory in the sandbox. */
  readonly merged: string;
  /** Takes it away with all changes; for the time after the container's end. */
  remove(): Promise<void>;
}

/**
 * Mounts directories of somebody else's, say one on CVMFS, as a root that can be written to: fuse-overlayfs shows every file as the pod's root's, which the kernel's
 * overlay cannot do without privileges.
 *
 * @param layers The topmost first.
 * @param path Where programs are looked for.
 * @returns undefined where the worker lacks fuse-overlayfs, or a directory's name cannot be told to it
 * @throws Unavailable with its words when it fails.
 */
export async function mountFuseOverlay(
  layers: readonly string[],
  sandbox: Sandbox,
  path: string,
): Promise<FuseOverlay | undefined> {
  const program = findProgram('fuse-overlayfs', `${path}:${HELPER_PATH}`);
  if (program === undefined || layers.some((layer) => /[,:\\]/.test(layer))) return undefined;
  const base = join(sandbox.work, `layer-${randomBytes(6).toString('hex')}`);
  const [upper, work, merged] = ['upper', 'work', 'root'].map((name) => join(base, name)) as [string, string, string];
  const make = (directory: string): SystemCall => ({
    call: 'mkdirat',
    args: [LINUX.AT_FDCWD, directory, 0o755],
    what: `make ${directory}`,
  });
  // A tmpfs of its own: whatever the container leaves in it goes with one unmount.
  const { MS_NODEV, MNT_DETACH } = LINUX;
  await sandbox.run([
    make(base),
    {
      call: 'mount',
      args: ['tmpfs', base, 'tmpfs', MS_NODEV, 'mode=755'],
      what: 'mount a tmpfs for changes to the image',
    },
    ...[upper, work, merged].map(make),
  ]);
  const options = `lowerdir=${layers.join(':')},upperdir=${upper},workdir=${work},squash_to_root,allow_other`;
  const result = await runInSandbox(sandbox, [program, '-o', options, merged], { PATH: dirname(program) });
  if (result.exitCode !== 0)
    throw new InterlinkError(
      'Unavailable',
      `${layers[0]} cannot be mounted by fuse-overlayfs: ${result.stderr.trim()}`,
      {
        code: 'CreateContainerError',
      },
    );
  return {
    merged,
    remove: () =>
      sandbox.run([
        { call: 'umount2', args: [merged, MNT_DETACH], what: 'unmount the image' },
        { call: 'umount2', args: [base, MNT_DETACH], what: 'unmount the changes to the image' },
        { call: 'unlinkat', args: [LINUX.AT_FDCWD, base, LINUX.AT_REMOVEDIR], what: 'remove the layer' },
      ]),
  };
}
