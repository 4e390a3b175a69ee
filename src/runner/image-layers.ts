import { join } from 'node:path';
import { LINUX } from './namespace-linux.ts';
import type { SystemCall } from './namespace-program.ts';
import type { Sandbox } from './namespace-sandbox.ts';

/** Step that fails on kernels before 5.11. */
export const OVERLAY = 'mount the overlay of the image';

/**
 * Options of an overlay file system.
 * @param lowers Names without commas and colons, as these mean something to it; the topmost first.
 * @param inUserNamespace Without privileges the overlay keeps its notes in attributes that a user may set.
 */
export function overlayOptions(lowers: readonly string[], inUserNamespace: boolean): string {
  return `lowerdir=${lowers.join(':')}${inUserNamespace ? ',userxattr' : ''}`;
}

/** System calls that bind each layer to a directory of the same name in the working directory, which they make. */
export function bindLayerCalls(layers: readonly string[], names: readonly string[]): readonly SystemCall[] {
  return names.flatMap((name, index): readonly SystemCall[] => [
    { call: 'mkdirat', args: [LINUX.AT_FDCWD, name, 0o755], what: 'make a directory for a layer' },
    { call: 'mount', args: [layers[index] ?? '', name, 0, LINUX.MS_BIND, 0], what: 'bind the image' },
  ]);
}

/**
 * Mounts a directory that shows the layers of an image as a container will see them, for the sandbox to read in. It lives as long as the sandbox.
 *
 * @param layers Directories, the topmost first; at least two.
 * @param name Of the mount point in the sandbox's directory.
 * @throws Unavailable naming the step that failed.
 */
export async function showLayers(layers: readonly string[], name: string, sandbox: Sandbox): Promise<string> {
  const base = join(sandbox.work, name);
  const { AT_FDCWD, EEXIST, MS_RDONLY } = LINUX;
  const names = layers.map((_, index) => `lower${index}`);
  const options = overlayOptions(names, sandbox.ids !== undefined);
  await sandbox.run([
    { call: 'mkdirat', args: [AT_FDCWD, base, 0o755], tolerate: [EEXIST], what: `make ${base}` },
    // A tmpfs of its own, so that a second attempt finds nothing of the first.
    { call: 'mount', args: ['tmpfs', base, 'tmpfs', 0, 'mode=755'], what: 'mount a tmpfs for the layers of the image' },
    { call: 'chdir', args: [base], what: `enter ${base}` },
    { call: 'mkdirat', args: [AT_FDCWD, 'root', 0o755], what: 'make a directory for the image' },
    ...bindLayerCalls(layers, names),
    { call: 'mount', args: ['overlay', 'root', 'overlay', MS_RDONLY, options], what: OVERLAY },
  ]);
  return join(base, 'root');
}
