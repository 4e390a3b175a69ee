import { execFile } from 'node:child_process';
import { chmod, copyFile, mkdir, rename } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import type { Target } from './targets.ts';

const run = promisify(execFile);

export interface ExecutableOptions {
  readonly root: string;
  readonly target: Target;
  /** Existing directory for intermediate files; its layout is part of the result, its path is not. */
  readonly workDirectory: string;
  /** Name of the main script in `workDirectory`. */
  readonly main: string;
  /** Name in the executable → file. */
  readonly assets: Readonly<Record<string, string>>;
  readonly output: string;
}

/**
 * Makes a single executable with pkg's SEA builder. It appears at `output` in one step, so that a running older one goes on.
 */
export async function buildExecutable(options: ExecutableOptions): Promise<void> {
  const { root, target, workDirectory, main, assets, output } = options;
  const node = join(workDirectory, 'node');
  await copyFile(join(root, 'node_modules', target.nodePackage, target.nodeBinary), node);
  await chmod(node, 0o755);
  // Before the injection: afterwards it would break the executable.
  if (target.strip) await stripSymbols(target.strip, node);
  const temporary = join(workDirectory, 'executable');
  const settings = {
    targets: [{ nodeRange: target.nodeRange, platform: target.platform, arch: target.arch, output: temporary }],
    nodePath: node,
    signature: target.platform === 'macos',
    seaConfig: {
      // pkg works in a new directory below TMPDIR; relative to it the blob holds no path of this machine.
      main: `../${main}`,
      disableExperimentalSEAWarning: true,
      useSnapshot: false,
      useCodeCache: false,
      // Half the memory under load for 6 % more time of the collector.
      execArgv: ['--max-semi-space-size=4'],
      // NODE_OPTIONS of a user must not reach a program that holds tokens.
      execArgvExtension: 'none',
      assets: Object.fromEntries(Object.entries(assets).sort(([a], [b]) => (a < b ? -1 : 1))),
    },
  };
  const script = join(root, 'scripts/build/pkg-sea.cjs');
  await run(process.execPath, [script, join(workDirectory, main), JSON.stringify(settings)], {
    env: { ...process.env, TMPDIR: workDirectory },
  });
  await chmod(temporary, 0o755);
  await mkdir(dirname(output), { recursive: true });
  // The output may be on another file system, where a rename is impossible.
  const staged = `${output}.${process.pid}.tmp`;
  await copyFile(temporary, staged);
  await rename(staged, output);
}

async function stripSymbols([program, ...args]: readonly [string, ...string[]], file: string): Promise<void> {
  try {
    await run(program, [...args, file]);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    console.error(`${program} is not installed: the executable keeps its symbols (18 MB more, same behaviour)`);
  }
}
