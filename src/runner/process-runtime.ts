import { InterlinkError, isKind } from '../base/errors.ts';
import type { RuntimeSettings } from '../contract/job-directory.ts';
import type {
  ContainerOutput,
  ContainerPlan,
  ContainerRuntime,
  ContainerSecurity,
  ResolvedImage,
  RunningContainer,
} from './container-runtime.ts';
import { DEFAULT_PATH } from './image-tool.ts';
import { droppedCapabilities } from './namespace-capabilities.ts';
import type { Identity } from './namespace-identity.ts';
import { ownIdMap } from './namespace-ids.ts';
import { PodNamespaces, type PodNamespacesDeps } from './namespace-pod.ts';
import { currentUser, type WorkerUser } from './namespace-user.ts';
import { prepareMounts } from './namespace-volumes.ts';
import { startBareProcess } from './process-bare.ts';
import { processRootCalls } from './process-root.ts';

/**
 * Containers as processes on the worker's own file system, in namespaces of their own: volumes appear at their paths, nothing is made on the worker
 * and nothing outlives the pod. Images do not matter. It keeps nothing of the worker from the pod that the user could read anyway.
 *
 * One runtime serves one pod.
 */
export function createProcessRuntime(
  deps: PodNamespacesDeps,
  settings: Pick<RuntimeSettings, 'allowWithoutIsolation'> = {},
): ContainerRuntime {
  return new ProcessRuntime(deps, settings.allowWithoutIsolation === true);
}

class ProcessRuntime implements ContainerRuntime {
  readonly name = 'process';
  readonly #deps: PodNamespacesDeps;
  readonly #allowBare: boolean;
  readonly #pod: PodNamespaces;
  readonly #user = currentUser();

  constructor(deps: PodNamespacesDeps, allowBare: boolean) {
    this.#deps = deps;
    this.#allowBare = allowBare;
    this.#pod = new PodNamespaces(deps, async () => (this.#user.uid === 0 ? undefined : ownIdMap(this.#user)));
  }

  async probe(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    if (process.platform !== 'linux')
      throw new InterlinkError('Unsupported', `runtime "process" needs Linux; this worker runs ${process.platform}`, {
        code: 'runtime.platform',
      });
    try {
      await this.#pod.sandbox();
    } catch (error) {
      if (!isKind(error, 'Unsupported')) throw error;
      if (this.#allowBare) return this.#deps.logger.warn('containers run without isolation', { err: error });
      throw new InterlinkError(
        'Unsupported',
        `runtime "process": ${error.message}, or choose the runtime apptainer, or allow pods without mounts to run without isolation (allowWithoutIsolation)`,
        { code: error.code, cause: error },
      );
    }
  }

  async resolveImage(): Promise<ResolvedImage> {
    return { path: '', imageId: '' };
  }

  async start(plan: ContainerPlan, _image: ResolvedImage, output: ContainerOutput): Promise<RunningContainer> {
    const argv = [...(plan.command ?? []), ...(plan.args ?? [])];
    if (argv.length === 0)
      throw new InterlinkError(
        'Invalid',
        `container ${plan.name}: no command specified; runtime "process" has no image to take one from`,
        {
          code: 'CreateContainerConfigError',
        },
      );
    const identity = identityOf(plan, this.#user);
    const command = { argv, env: environmentOf(plan, this.#user.home), cwd: plan.workingDir ?? '/' };
    let sandbox: Awaited<ReturnType<PodNamespaces['sandbox']>>;
    try {
      sandbox = await this.#pod.sandbox();
    } catch (error) {
      if (!this.#allowBare || !isKind(error, 'Unsupported')) throw error;
      const needed = plan.mounts.find(({ optional }) => !optional);
      if (needed)
        throw new InterlinkError(
          'Unsupported',
          `container ${plan.name}: volumes cannot be mounted (${needed.target}): ${error.message}`,
          {
            code: 'CreateContainerConfigError',
            cause: error,
          },
        );
      return startBareProcess({ command, tty: plan.tty }, output, this.#deps);
    }
    await this.#pod.prepare(plan, sandbox);
    const root = processRootCalls(prepareMounts(plan.mounts), sandbox.work);
    const setup = {
      root,
      identity,
      command,
      tty: plan.tty,
      sharedProcesses: plan.sharedProcesses ?? false,
      hostname: plan.hostname,
    };
    return this.#pod.start(setup, output, sandbox);
  }

  async diskUsage(paths: readonly string[]): Promise<readonly number[]> {
    return this.#pod.diskUsage(paths);
  }

  async removeTrees(paths: readonly string[]): Promise<void> {
    await this.#pod.removeTrees(paths);
  }

  async close(): Promise<void> {
    await this.#pod.close();
  }
}

function environmentOf(plan: ContainerPlan, home: string): ReadonlyMap<string, string> {
  return new Map([['PATH', DEFAULT_PATH], ['HOSTNAME', plan.hostname], ['HOME', home], ...plan.env]);
}

/** @throws Forbidden with code `CreateContainerConfigError` for ids that only root could take. */
function identityOf({ name, security, podName }: ContainerPlan, user: WorkerUser): Identity {
  const uid = security.runAsUser ?? user.uid;
  const gid = security.runAsGroup ?? user.gid;
  const groups = [
    ...(security.fsGroup === undefined ? [] : [security.fsGroup]),
    ...(security.supplementalGroups ?? []),
  ];
  if (security.runAsNonRoot && uid === 0)
    throw refuse(`container has runAsNonRoot and image will run as root (pod: "${podName ?? ''}", container: ${name})`);
  if (user.uid !== 0) {
    if (uid !== user.uid) throw refuse(notOurs(name, 'runAsUser', uid, user.uid));
    if (gid !== user.gid) throw refuse(notOurs(name, 'runAsGroup', gid, user.gid));
    const foreign = security.supplementalGroups?.find((group) => group !== user.gid && !user.groups.includes(group));
    if (foreign !== undefined) throw refuse(notOurs(name, 'supplementalGroups', foreign, user.gid));
  }
  return {
    uid,
    gid,
    groups: user.uid === 0 ? [gid, ...groups.filter((group) => group !== gid)] : undefined,
    dropped: droppedOf(security),
    noNewPrivileges: security.allowPrivilegeEscalation === false,
    seccomp: security.seccomp === 'RuntimeDefault',
  };
}

/** The worker's root stays as mighty as it is unless the pod asks for less. */
function droppedOf({ addCapabilities = [], dropCapabilities = [] }: ContainerSecurity): readonly number[] {
  return dropCapabilities.length === 0
    ? []
    : droppedCapabilities({
        add: ['ALL', ...addCapabilities].slice(dropsAll(dropCapabilities) ? 1 : 0),
        drop: dropCapabilities,
      });
}

function dropsAll(names: readonly string[]): boolean {
  return names.some((name) => name.toUpperCase() === 'ALL');
}

function refuse(message: string): InterlinkError {
  return new InterlinkError('Forbidden', message, { code: 'CreateContainerConfigError' });
}

function notOurs(name: string, field: string, asked: number, own: number): string {
  return `container ${name}: securityContext.${field} ${asked} cannot be had: runtime "process" runs everything as the job's own user (${own}); leave it out or use the runtime apptainer`;
}
