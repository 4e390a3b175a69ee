import { readFileSync } from 'node:fs';
import { join } from 'node:path';

/**
 * How often the kernel has killed a process of our own memory cgroup for lack of memory (containers are in it too); undefined where there is no
 * such cgroup. A rise between a container's start and its SIGKILL tells an out-of-memory kill from any other.
 *
 * @see cgroup v2 `memory.events`, cgroup v1 `memory.oom_control` (its `oom_kill` is there since Linux 4.13)
 */
export function oomKills(proc = '/proc/self'): number | undefined {
  try {
    const cgroups = readFileSync(join(proc, 'cgroup'), 'utf8').split('\n');
    const mounts = readFileSync(join(proc, 'mountinfo'), 'utf8').split('\n');
    const v1 = pathOf(cgroups, (controllers) => controllers.split(',').includes('memory'));
    const v2 = pathOf(cgroups, (controllers) => controllers === '');
    const root = mountOf(mounts, v1 === undefined ? 'cgroup2' : 'cgroup', v1 === undefined ? '' : 'memory');
    const path = v1 ?? v2;
    if (root === undefined || path === undefined) return undefined;
    // The mount may show only a subtree: its root is then cut from our path.
    const relative = path.startsWith(root.root) ? path.slice(root.root.length) : path;
    const text = readFileSync(
      join(root.point, relative, v1 === undefined ? 'memory.events' : 'memory.oom_control'),
      'utf8',
    );
    const count = /^oom_kill (\d+)$/m.exec(text)?.[1];
    return count === undefined ? undefined : Number(count);
  } catch {
    // No cgroups, another operating system, or a file that this user may not read: nothing is known.
    return undefined;
  }
}

/** Lines are `ID:CONTROLLERS:PATH`. */
function pathOf(cgroups: readonly string[], matches: (controllers: string) => boolean): string | undefined {
  for (const line of cgroups) {
    const [, controllers, ...path] = line.split(':');
    if (controllers !== undefined && matches(controllers)) return path.join(':');
  }
  return undefined;
}

/** Fields of mountinfo: ID PARENT DEVICE ROOT POINT OPTIONS [TAGS…] - TYPE SOURCE SUPER-OPTIONS. */
function mountOf(mounts: readonly string[], type: string, option: string): { root: string; point: string } | undefined {
  for (const line of mounts) {
    const [left = '', right = ''] = line.split(' - ');
    const [kind, , options = ''] = right.split(' ');
    const [, , , root = '/', point] = left.split(' ');
    if (kind !== type || point === undefined) continue;
    if (option === '' || options.split(',').includes(option)) return { root: root === '/' ? '' : root, point };
  }
  return undefined;
}
