import { mkdir, mkdtemp, readFile, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { systemClock } from '../../../src/base/clock.ts';
import { localCommandRunner } from '../../../src/base/command.ts';
import { isRetriable } from '../../../src/base/errors.ts';
import { type Logger, silentLogger } from '../../../src/base/logger.ts';
import type { PodBundle } from '../../../src/contract/pod-bundle.ts';
import type { PodStatus } from '../../../src/contract/pod-status.ts';
import type { Sidecar } from '../../../src/contract/sidecar.ts';
import type { Pod } from '../../../src/kube/types.ts';
import type { Failpoints } from '../../../src/sidecar/batch/failpoints.ts';
import { type SidecarConfig, sidecarConfig } from '../../../src/sidecar/config.ts';
import { type OpenedSidecar, openSidecar } from '../../../src/sidecar/open-sidecar.ts';

const COMMANDS = ['sbatch', 'squeue', 'scancel', 'sacct', 'sinfo'] as const;
type Command = (typeof COMMANDS)[number];

/** The runner that stands in for `interlink runner`. */
export const RUNNER = fileURLToPath(new URL('runner.sh', import.meta.url));

/** A Slurm of shell scripts and files in a temporary directory, with faults on demand; see slurm.sh. */
export class ScriptedSlurm implements AsyncDisposable {
  readonly directory: string;

  static async create(): Promise<ScriptedSlurm> {
    const slurm = new ScriptedSlurm(await mkdtemp(join(tmpdir(), 'interlink-slurm-')));
    await mkdir(join(slurm.directory, 'jobs'));
    await mkdir(join(slurm.directory, 'bin'));
    await writeFile(slurm.#path('sinfo'), ['n1', 'idle', '8', '8000', 'gpu:a100:2', ''].join('\u001f').concat('\n'));
    for (const command of COMMANDS)
      await symlink(fileURLToPath(new URL('slurm.sh', import.meta.url)), join(slurm.directory, 'bin', command));
    return slurm;
  }

  /** One that another process has made. */
  static at(directory: string): ScriptedSlurm {
    return new ScriptedSlurm(directory);
  }

  private constructor(directory: string) {
    this.directory = directory;
  }

  /** Configuration of a sidecar that uses it, with all times shortened. */
  config(change: Record<string, unknown> = {}): SidecarConfig {
    const programs = Object.fromEntries(COMMANDS.map((command) => [command, join(this.directory, 'bin', command)]));
    return sidecarConfig.parse({
      stateDirectory: join(this.directory, 'state'),
      pollIntervalSeconds: 0.2,
      pollSoonSeconds: 0.1,
      submitTimeoutSeconds: 10,
      commandTimeoutSeconds: 10,
      settleSeconds: 0.5,
      recordGraceSeconds: 0.1,
      lostGraceSeconds: 0.5,
      stopMarginSeconds: 1,
      channel: { enabled: false },
      ...change,
      slurm: {
        ...programs,
        environment: { SCRIPTED_SLURM: this.directory, RUNNER_LEDGER: this.#path('ran') },
        ...(change.slurm as object | undefined),
      },
    });
  }

  /** Opens a sidecar on it. */
  open(
    options: { change?: Record<string, unknown>; failpoint?: Failpoints; logger?: Logger } = {},
  ): Promise<OpenedSidecar> {
    return openSidecar({
      kind: 'slurm',
      config: this.config(options.change),
      clock: systemClock,
      logger: options.logger ?? silentLogger,
      commands: localCommandRunner,
      environment: { PATH: '/usr/bin:/bin' },
      version: '0.0.0',
      command: [RUNNER],
      ...(options.failpoint ? { failpoint: options.failpoint } : {}),
    });
  }

  /** Makes a command misbehave, for ever or `times` times. */
  async fault(command: Command, fault: string, times?: number): Promise<void> {
    await writeFile(this.#path(`fault-${command}`), `${fault}${times === undefined ? '' : ` ${times}`}\n`);
  }

  async mend(command: Command): Promise<void> {
    await rm(this.#path(`fault-${command}`), { force: true });
  }

  /** Keeps jobs pending until {@link release}. */
  async hold(): Promise<void> {
    await writeFile(this.#path('hold'), '');
  }

  async release(): Promise<void> {
    await rm(this.#path('hold'), { force: true });
  }

  /** Gives every job that ends from now on this state. */
  async endAs(state: string): Promise<void> {
    await writeFile(this.#path('end-as'), state);
  }

  /** Lets Slurm forget every job, as it does after MinJobAge; accounting still has them. */
  async purge(): Promise<void> {
    await rename(this.#path('jobs'), this.#path('purged'));
    await mkdir(this.#path('jobs'));
  }

  /** Ids of all jobs that were ever taken for the pod. */
  async jobsOf(uid: string): Promise<readonly string[]> {
    const lines = await this.#lines('ledger');
    return lines.filter((line) => line.startsWith(`il-${uid} `)).map((line) => line.split(' ')[1] ?? '');
  }

  /** How often a runner of the pod has passed its claim. */
  async runsOf(uid: string): Promise<number> {
    const lines = await this.#lines('ran');
    return lines.filter((line) => line.startsWith(`${uid} `)).length;
  }

  /** Command lines so far. */
  async calls(command: Command): Promise<readonly string[]> {
    const lines = await this.#lines('calls');
    return lines.filter((line) => line.startsWith(`${command} `) && !line.includes('--run'));
  }

  /** What squeue shows of a job, by its id: the state's long name. */
  async stateOf(jobId: string): Promise<string | undefined> {
    const text = await readFile(this.#path('jobs', jobId, 'row'), 'utf8').catch(() => '');
    return text.split('\u001f')[1];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const line of await this.#lines('sessions')) endSession(Number(line));
    await rm(this.directory, { recursive: true, force: true, maxRetries: 10, retryDelay: 50 });
  }

  #path(...names: readonly string[]): string {
    return join(this.directory, ...names);
  }

  async #lines(name: string): Promise<readonly string[]> {
    const text = await readFile(this.#path(name), 'utf8').catch(() => '');
    return text.split('\n');
  }
}

/** Kills what is left of a job: the process group that its session leader began. */
function endSession(leader: number): void {
  if (leader <= 1) return;
  try {
    process.kill(-leader, 'SIGKILL');
  } catch {
    // Nothing is left.
  }
}

/** A pod whose only container `c` does what a line of shell says (no double quotes). */
export function shellPod(line: string, change: (pod: Pod) => void = () => {}): Pod {
  const uid = crypto.randomUUID();
  const pod: Pod = {
    metadata: { name: `pod-${uid.slice(0, 8)}`, namespace: 'default', uid },
    spec: {
      restartPolicy: 'Never',
      terminationGracePeriodSeconds: 2,
      containers: [{ name: 'c', image: 'i', command: [line] }],
    },
  };
  change(pod);
  return pod;
}

/** The pod with nothing beside it. */
export function bundleOf(pod: Pod): PodBundle {
  return { pod, configMaps: [], secrets: [], projectedVolumes: [] };
}

/** Creates the pod as a node does: again while it is told that a retry may help. */
export async function createPatiently(sidecar: Sidecar, pod: Pod, withinMs = 10_000): Promise<string> {
  const signal = AbortSignal.timeout(withinMs);
  for (;;)
    try {
      return (await sidecar.create(bundleOf(pod), { signal })).jobId;
    } catch (error) {
      if (signal.aborted || !isRetriable(error)) throw error;
      await systemClock.sleep(50);
    }
}

/** Waits until the pod's status fits. @throws with the last status when it does not in time. */
export async function untilStatus(
  sidecar: Sidecar,
  pod: Pod,
  fits: (status: PodStatus) => boolean,
  withinMs = 10_000,
): Promise<PodStatus> {
  const signal = AbortSignal.timeout(withinMs);
  for (;;) {
    const [status] = await sidecar.status([pod], { signal });
    if (status && fits(status)) return status;
    if (signal.aborted) throw new Error(`status does not come: ${JSON.stringify(status)}`);
    await systemClock.sleep(20);
  }
}

export function isGone(status: PodStatus): boolean {
  return status.sandbox === 'Gone';
}
