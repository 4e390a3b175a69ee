import { readdirSync, readFileSync, statSync } from 'node:fs';
import { basename, join } from 'node:path';
import type { CommandRunner } from '../base/command.ts';
import type { Mount } from './container-runtime.ts';
import { GPU_DRIVER_FILES } from './gpu-driver-files.ts';
import { findProgram } from './image-tool.ts';

/** What a container needs of the worker to use its GPUs. */
export interface GpuSupport {
  readonly mounts: readonly Mount[];
  readonly devices: readonly string[];
  /** Directory in the container with the driver's libraries; undefined where the worker has none. */
  readonly libraries: string | undefined;
}

export interface GpuSupportDeps {
  readonly commands: CommandRunner;
  readonly path: string;
  /** Directories with Apptainer's lists, and the one of the devices; parameters for tests. */
  readonly configurations?: readonly string[];
  readonly devices?: string;
}

const CONFIGURATIONS = ['/etc/apptainer', '/usr/local/etc/apptainer'];
const LIBRARIES = '/.singularity.d/libs';
const VENDORS = {
  nvidia: { list: 'nvliblist.conf', devices: /^nvidia(\d+|ctl|-uvm|-uvm-tools|-modeset|-caps\/.+)$/ },
  rocm: { list: 'rocmliblist.conf', devices: /^(kfd|dri\/.+)$/ },
} as const;

/** Variables by which a batch system says which GPUs are the job's; passed on, or every container would take the first. */
export const GPU_VARIABLES = [
  'CUDA_VISIBLE_DEVICES',
  'NVIDIA_VISIBLE_DEVICES',
  'ROCR_VISIBLE_DEVICES',
  'HIP_VISIBLE_DEVICES',
  'GPU_DEVICE_ORDINAL',
];

/**
 * Finds the vendor's libraries and programs by the list that Apptainer brings (`nvliblist.conf`, `rocmliblist.conf`; ours where there is none), and its devices. A
 * worker without them gives nothing, as `--nv` and `--rocm` do.
 * @see https://apptainer.org/docs/user/main/gpu.html
 */
export async function gpuSupport(vendor: keyof typeof VENDORS, deps: GpuSupportDeps): Promise<GpuSupport> {
  const { commands, path, configurations = CONFIGURATIONS, devices: dev = '/dev' } = deps;
  const { list, devices } = VENDORS[vendor];
  const lists = configurations.map((directory) => readList(join(directory, list)));
  const names = lists.find((found) => found.length > 0) ?? GPU_DRIVER_FILES[vendor];
  const known = await libraryPaths(commands, path);
  const libraries = names
    .filter((name) => name.includes('.so'))
    .flatMap((name) => known.filter((file) => basename(file) === name || basename(file).startsWith(`${name}.`)));
  const programs = names.filter((name) => !name.includes('.so')).flatMap((name) => findProgram(name, path) ?? []);
  const mount = (source: string, directory: string): Mount => ({
    source,
    target: join(directory, basename(source)),
    readOnly: true,
  });
  const mounts = [
    ...new Map(libraries.map((file) => [basename(file), mount(file, LIBRARIES)])).values(),
    ...programs.map((file) => mount(file, '/usr/bin')),
  ];
  return {
    mounts,
    devices: deviceFiles(dev)
      .filter((name) => devices.test(name))
      .map((name) => join(dev, name)),
    libraries: libraries.length > 0 ? LIBRARIES : undefined,
  };
}

function readList(path: string): readonly string[] {
  try {
    return readFileSync(path, 'utf8')
      .split('\n')
      .map((line) => line.replace(/#.*/, '').trim())
      .filter((line) => line !== '');
  } catch {
    return [];
  }
}

/** Libraries as the dynamic linker knows them, of this processor's kind. */
async function libraryPaths(commands: CommandRunner, path: string): Promise<readonly string[]> {
  const ldconfig = findProgram('ldconfig', `${path}:/sbin:/usr/sbin`);
  if (ldconfig === undefined) return [];
  const { stdout } = await commands.run([ldconfig, '-p'], { env: {}, timeoutMs: 10_000 });
  return [...stdout.matchAll(/\(.*64.*\) => (\/.+)$/gm)].map(([, file = '']) => file);
}

/** Names below the directory of devices, one level of directories deep; directories themselves are left out. */
function deviceFiles(directory: string): readonly string[] {
  const list = (at: string, prefix: string): string[] =>
    readdirSync(at, { withFileTypes: true }).flatMap((entry) => {
      const name = `${prefix}${entry.name}`;
      if (!entry.isDirectory()) return statSync(join(at, entry.name), { throwIfNoEntry: false }) ? [name] : [];
      return prefix === '' && /^(dri|nvidia-caps)$/.test(entry.name) ? list(join(at, entry.name), `${name}/`) : [];
    });
  return list(directory, '');
}
