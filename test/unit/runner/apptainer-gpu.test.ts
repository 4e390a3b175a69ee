import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { CommandRunner } from '../../../src/base/command.ts';
import { gpuSupport } from '../../../src/runner/apptainer-gpu.ts';

let root: string;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'interlink-gpu-'));
  for (const name of ['etc', 'bin', 'dev/dri', 'dev/nvidia-caps', 'empty'])
    await mkdir(join(root, name), { recursive: true });
  await writeFile(
    join(root, 'etc/nvliblist.conf'),
    '# comment\nnvidia-smi\nmissing-tool\n\nlibcuda.so\nlibnone.so # gone\n',
  );
  for (const tool of ['nvidia-smi', 'ldconfig']) await writeFile(join(root, 'bin', tool), '', { mode: 0o755 });
  for (const name of ['nvidia0', 'nvidiactl', 'nvidia-caps/nvidia-cap1', 'null', 'dri/card0', 'nvidia-other'])
    await writeFile(join(root, 'dev', name), '');
});
afterAll(() => rm(root, { recursive: true }));

/** Plays `ldconfig -p`. */
const commands: CommandRunner = {
  run: async (argv) => ({
    argv,
    exitCode: 0,
    exitSignal: null,
    stderr: '',
    timedOut: false,
    truncated: false,
    stdout:
      '3 libs found in cache\n\tlibcuda.so.1 (libc6,x86-64) => /usr/lib64/libcuda.so.1\n' +
      '\tlibcuda.so.1 (libc6) => /usr/lib/libcuda.so.1\n\tlibc.so.6 (libc6,x86-64) => /lib64/libc.so.6\n',
  }),
};

describe("the worker's GPUs", () => {
  it('come with the libraries, programs and devices of the vendor, and nothing else', async () => {
    const support = await gpuSupport('nvidia', {
      commands,
      path: join(root, 'bin'),
      configurations: [join(root, 'nowhere'), join(root, 'etc')],
      devices: join(root, 'dev'),
    });
    expect(support.mounts).toEqual([
      { source: '/usr/lib64/libcuda.so.1', target: '/.singularity.d/libs/libcuda.so.1', readOnly: true },
      { source: join(root, 'bin/nvidia-smi'), target: '/usr/bin/nvidia-smi', readOnly: true },
    ]);
    expect(support.devices.toSorted()).toEqual(
      ['nvidia-caps/nvidia-cap1', 'nvidia0', 'nvidiactl'].map((name) => join(root, 'dev', name)),
    );
    expect(support.libraries).toBe('/.singularity.d/libs');
  });

  it('are known where Apptainer is not installed too', async () => {
    const support = await gpuSupport('nvidia', {
      commands,
      path: join(root, 'bin'),
      configurations: [join(root, 'empty')],
      devices: join(root, 'dev'),
    });
    expect(support.mounts.map(({ target }) => target)).toEqual([
      '/.singularity.d/libs/libcuda.so.1',
      '/usr/bin/nvidia-smi',
    ]);
  });

  it('are nothing on a worker without them', async () => {
    const configurations = [join(root, 'empty')];
    const deps = { commands, path: join(root, 'empty'), configurations, devices: join(root, 'empty') };
    expect(await gpuSupport('rocm', deps)).toEqual({ mounts: [], devices: [], libraries: undefined });
  });
});
