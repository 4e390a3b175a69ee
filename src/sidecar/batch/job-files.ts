import { lstat, mkdir, open, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { InterlinkError, systemCodeOf } from '../../base/errors.ts';
import {
  makePrivateDirectory,
  PRIVATE_DIRECTORY,
  PRIVATE_FILE,
  syncDirectory,
  writeFileAtomic,
} from '../../base/files.ts';
import {
  type JobDirectory,
  type JobSpec,
  jobDirectory,
  type StopRequest,
  type VolumeContents,
} from '../../contract/job-directory.ts';
import type { Secret } from '../../kube/types.ts';

/**
 * The batch script of every job: a constant, so that no value of a user is ever read by a shell. The working directory is the job directory.
 * `pre-exec.sh` exists only where the site's policy lets a pod bring one; it is sourced, as its purpose is `module load` and the like.
 */
const BATCH_SCRIPT = `#!/bin/sh
umask 077
if [ -f pre-exec.sh ]; then . ./pre-exec.sh; fi
exec ./interlink runner .
`;

/** The directories of a sidecar's jobs under its state directory, and what is put into them. */
export class JobFiles {
  readonly #root: string;
  readonly #launcher: string;
  /** Absolute path of the batch script. */
  readonly script: string;

  private constructor(stateDirectory: string, launcher: string) {
    this.#root = join(stateDirectory, 'jobs');
    this.#launcher = launcher;
    this.script = join(stateDirectory, 'job.sh');
  }

  /** Makes `jobs/`, the batch script and, where interlink is no single executable, a launcher for it. */
  static async open(stateDirectory: string, command: readonly [string, ...string[]]): Promise<JobFiles> {
    const [program, ...args] = command;
    const launcher = args.length === 0 ? program : join(stateDirectory, 'interlink');
    const files = new JobFiles(stateDirectory, launcher);
    await makePrivateDirectory(files.#root);
    await writeFileAtomic(files.script, BATCH_SCRIPT, PRIVATE_DIRECTORY);
    if (launcher !== program)
      await writeFileAtomic(launcher, `#!/bin/sh\nexec ${command.map(quote).join(' ')} "$@"\n`, PRIVATE_DIRECTORY);
    return files;
  }

  directory(uid: string): JobDirectory {
    return jobDirectory(join(this.#root, uid));
  }

  /**
   * Writes everything a job needs, over whatever a crash left half-made. It syncs nothing, as a disk takes longer to sync each directory of a burst than Slurm to
   * take its jobs: the journal holds the specification too, and {@link repair} makes good what a loss of power took.
   *
   * @throws Conflict when a runner has begun in the directory
   */
  async prepare(uid: string, spec: string, preExec: string | undefined): Promise<void> {
    const directory = this.directory(uid);
    try {
      await mkdir(directory.root, { mode: PRIVATE_DIRECTORY });
    } catch (error) {
      if (systemCodeOf(error) !== 'EEXIST') throw error;
      if (await this.isClaimed(uid))
        throw new InterlinkError(
          'Conflict',
          `a job has run in ${directory.root} and the journal does not know it; look at it and remove it`,
          { code: 'sidecar.claimed' },
        );
      await this.remove(uid);
      await mkdir(directory.root, { mode: PRIVATE_DIRECTORY });
    }
    await symlink(this.#launcher, join(directory.root, 'interlink'));
    if (preExec !== undefined)
      await writeFile(join(directory.root, 'pre-exec.sh'), `${preExec}\n`, { mode: PRIVATE_FILE });
    await writeFile(directory.contents, JSON.stringify(NO_CONTENTS), { mode: PRIVATE_FILE });
    await writeFile(directory.spec, spec, { mode: PRIVATE_FILE });
  }

  /** Prepares a directory again whose specification is not whole, unless a runner has begun in it. */
  async repair(uid: string, spec: string, preExec: string | undefined): Promise<void> {
    if (await this.isClaimed(uid)) return;
    if ((await readIfThere(this.directory(uid).spec)) !== spec) await this.prepare(uid, spec, preExec);
  }

  /** Tells the runner to end; durable on return. A directory that is gone needs none. */
  async writeStop(uid: string, stop: StopRequest): Promise<void> {
    try {
      await writeFileAtomic(this.directory(uid).stop, JSON.stringify(stop));
    } catch (error) {
      if (systemCodeOf(error) !== 'ENOENT') throw error;
    }
  }

  /** The specification of a job and the contents that have changed since; undefined when its directory is gone or has been cleaned. */
  async readJob(uid: string): Promise<{ readonly spec: JobSpec; readonly contents: VolumeContents } | undefined> {
    const directory = this.directory(uid);
    const [spec, contents] = await Promise.all([directory.spec, directory.contents].map(readIfThere));
    if (spec === undefined) return undefined;
    // Directories of before 2026-11-29 have no contents.
    return { spec: JSON.parse(spec), contents: contents === undefined ? NO_CONTENTS : JSON.parse(contents) };
  }

  /** Gives a job new contents in one step; durable on return, together with everything else in the directory. A directory that is gone needs none. */
  async writeContents(uid: string, contents: VolumeContents): Promise<void> {
    const { spec, contents: path } = this.directory(uid);
    await this.#writeDurably(path, spec, contents);
  }

  /** As {@link writeContents}; the runner takes them away when it looks for them. */
  async writePullSecrets(uid: string, secrets: readonly Secret[]): Promise<void> {
    const { spec, pullSecrets: path } = this.directory(uid);
    await this.#writeDurably(path, spec, secrets);
  }

  async #writeDurably(path: string, spec: string, value: unknown): Promise<void> {
    try {
      // A directory whose specification a loss of power took would be made anew, without the contents.
      await syncFile(spec);
      await writeFileAtomic(path, JSON.stringify(value));
      await syncDirectory(this.#root);
    } catch (error) {
      if (systemCodeOf(error) !== 'ENOENT') throw error;
    }
  }

  /** Whether a runner has begun, so that the pod must never be started again. */
  async isClaimed(uid: string): Promise<boolean> {
    try {
      await lstat(this.directory(uid).claim);
      return true;
    } catch (error) {
      if (systemCodeOf(error) === 'ENOENT') return false;
      throw error;
    }
  }

  /** The last bytes of what the batch script and the runner said outside of any container; empty when they said nothing. */
  async complaint(uid: string): Promise<string> {
    const { root, runnerLog } = this.directory(uid);
    const texts = await Promise.all([join(root, 'batch.out'), runnerLog].map(lastLines));
    return texts.filter((text) => text !== '').join('; ');
  }

  /** Removes the pod's secrets and scratch data, keeps its logs and records. */
  async removeSecrets(uid: string): Promise<void> {
    const { root, spec, contents, pullSecrets, volumes } = this.directory(uid);
    for (const path of [volumes, join(root, 'pre-exec.sh'), join(root, 'runtime/login')])
      await rm(path, { recursive: true, force: true });
    // Beside them may lie what a killed process was just writing.
    const files = [spec, contents, pullSecrets].map((path) => basename(path));
    for (const name of await listIfThere(root))
      if (files.some((file) => name.startsWith(file))) await rm(join(root, name), { force: true });
  }

  async remove(uid: string): Promise<void> {
    await rm(this.directory(uid).root, { recursive: true, force: true });
  }

  /** UIDs that have a directory. */
  async list(): Promise<readonly string[]> {
    return await readdir(this.#root);
  }
}

const NO_CONTENTS: VolumeContents = { version: 1, revision: 0, volumes: {} };

async function listIfThere(directory: string): Promise<readonly string[]> {
  try {
    return await readdir(directory);
  } catch (error) {
    if (systemCodeOf(error) === 'ENOENT') return [];
    throw error;
  }
}

async function readIfThere(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if (systemCodeOf(error) === 'ENOENT') return undefined;
    throw error;
  }
}

async function syncFile(path: string): Promise<void> {
  await using handle = await open(path, 'r');
  await handle.sync();
}

const COMPLAINT_BYTES = 400;

async function lastLines(path: string): Promise<string> {
  try {
    await using handle = await open(path, 'r');
    const { size } = await handle.stat();
    const from = Math.max(0, size - COMPLAINT_BYTES);
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(COMPLAINT_BYTES), 0, COMPLAINT_BYTES, from);
    return buffer
      .subarray(0, bytesRead)
      .toString('utf8')
      .trim()
      .replaceAll(/\s*\n\s*/g, ' / ');
  } catch (error) {
    if (systemCodeOf(error) === 'ENOENT') return '';
    throw error;
  }
}

function quote(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}
