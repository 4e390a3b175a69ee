import { join } from 'node:path';
import type { Clock } from '../base/clock.ts';
import type { CommandRunner } from '../base/command.ts';
import { InterlinkError, isKind } from '../base/errors.ts';
import type { RuntimeName, RuntimeSettings } from '../contract/job-directory.ts';
import { GPU_VARIABLES, type GpuSupport, gpuSupport } from './apptainer-gpu.ts';
import { apptainerIdentity } from './apptainer-identity.ts';
import { resolveApptainerImage } from './apptainer-image.ts';
import { type OpenImage, openImage } from './apptainer-open.ts';
import { mountFuseOverlay } from './apptainer-overlay.ts';
import { imageRootCalls } from './apptainer-root.ts';
import type {
  ContainerOutput,
  ContainerPlan,
  ContainerRuntime,
  PullContext,
  ResolvedImage,
  RunningContainer,
} from './container-runtime.ts';
import type { ImageConfig } from './image-config.ts';
import { OVERLAY } from './image-layers.ts';
import type { ImageRuntimeOptions, RegistryTrust } from './image-options.ts';
import type { ImagePuller } from './image-puller.ts';
import { ImageStore } from './image-store.ts';
import { DEFAULT_PATH, findProgram } from './image-tool.ts';
import { rootIdMap } from './namespace-ids.ts';
import { PodNamespaces, type PodNamespacesDeps } from './namespace-pod.ts';
import type { Sandbox } from './namespace-sandbox.ts';
import { currentUser } from './namespace-user.ts';
import { prepareMounts } from './namespace-volumes.ts';

export interface ImageRuntimeDeps extends PodNamespacesDeps {
  /** What pulls and containers get of the job's environment: PATH, the proxies of the site, the GPUs of the job. */
  readonly environment?: Readonly<Record<string, string>>;
}

/** What a puller is made of. */
export interface ImagePullerTools {
  /** The program that pulls, as the site calls it. */
  readonly program: string;
  /** The whole environment of the program: PATH, HOME, the proxies of the site. */
  readonly environment: Readonly<Record<string, string>>;
  readonly commands: CommandRunner;
  readonly clock: Clock;
  /** The sandbox of the pod, for tools that need its ids. */
  sandbox(): Promise<Sandbox>;
}

/** What tells one runtime of images from another: the tool of the site, which fetches them. */
export interface ImageRuntimeKind {
  readonly name: RuntimeName;
  /** Program that pulls, unless the site names another. */
  readonly program: string;
  /** Package that brings it. */
  readonly package: string;
  readonly options: ImageRuntimeOptions;
  readonly registries: RegistryTrust;
  /** Directory for images unless the site names one; the job's own when absent. */
  readonly imageCache?: string;
  puller(tools: ImagePullerTools): ImagePuller;
}

/** A directory that belongs to somebody else cannot be written to even by the pod's root; programs expect these to be. */
const SCRATCH = ['/tmp', '/var/tmp'];

/**
 * Containers of images: SIF files, unpacked directories, and what the tool of the site pulls from registries. They are put together from the same
 * namespaces as those of the runtime `process`, and behave as a kubelet's.
 *
 * One runtime serves one pod.
 */
export function createImageRuntime(
  deps: ImageRuntimeDeps,
  settings: RuntimeSettings,
  kind: ImageRuntimeKind,
): ContainerRuntime {
  return new ImageRuntime(deps, settings, kind);
}

class ImageRuntime implements ContainerRuntime {
  readonly name: RuntimeName;
  readonly #deps: ImageRuntimeDeps;
  readonly #settings: RuntimeSettings;
  readonly #kind: ImageRuntimeKind;
  readonly #environment: Readonly<Record<string, string>>;
  readonly #path: string;
  readonly #store: ImageStore;
  readonly #pod: PodNamespaces;
  readonly #images = new Map<string, Promise<OpenImage>>();
  #gpus: Promise<readonly GpuSupport[]> | undefined;

  constructor(deps: ImageRuntimeDeps, settings: RuntimeSettings, kind: ImageRuntimeKind) {
    const { directory, environment = {}, commands, clock } = deps;
    this.#deps = deps;
    this.#settings = settings;
    this.#kind = kind;
    this.name = kind.name;
    this.#path = environment.PATH ?? DEFAULT_PATH;
    const user = currentUser();
    this.#environment = { HOME: user.home, USER: user.userName, ...environment, PATH: this.#path };
    this.#store = new ImageStore({
      directory: settings.imageCache ?? kind.imageCache ?? join(directory, 'images'),
      maxBytes: settings.imageCacheBytes,
      loginDirectory: join(directory, 'login'),
      environment: this.#environment,
      registries: kind.registries,
      logger: deps.logger,
      puller: kind.puller({
        program: settings.program ?? kind.program,
        environment: this.#environment,
        commands,
        clock,
        sandbox: () => this.#pod.sandbox(),
      }),
      clock,
    });
    this.#pod = new PodNamespaces(deps, async () => {
      if (user.uid === 0) return undefined;
      const tools = findProgram('newuidmap', this.#path) && findProgram('newgidmap', this.#path);
      return rootIdMap(user, { ranges: tools !== undefined });
    });
  }

  async probe(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    const { name } = this;
    if (process.platform !== 'linux')
      throw new InterlinkError('Unsupported', `runtime "${name}" needs Linux; this worker runs ${process.platform}`, {
        code: 'runtime.platform',
      });
    const { program = this.#kind.program } = this.#settings;
    if (!findProgram(program, this.#path))
      throw new InterlinkError(
        'Unsupported',
        `runtime "${name}": ${program} is not on this worker; install the package ${this.#kind.package}, or name the program in runtime.program, or choose the runtime process`,
        { code: 'runtime.program' },
      );
    try {
      await this.#pod.sandbox();
    } catch (error) {
      if (!isKind(error, 'Unsupported')) throw error;
      throw new InterlinkError('Unsupported', `runtime "${name}": ${error.message}`, {
        code: error.code,
        cause: error,
      });
    }
  }

  resolveImage(
    image: string,
    pullPolicy: 'Always' | 'IfNotPresent' | 'Never',
    signal: AbortSignal,
    pull: PullContext,
  ): Promise<ResolvedImage> {
    return resolveApptainerImage(image, pullPolicy, this.#settings, { store: this.#store, pull, signal });
  }

  async start(plan: ContainerPlan, image: ResolvedImage, output: ContainerOutput): Promise<RunningContainer> {
    const sandbox = await this.#pod.sandbox();
    const { lowers, config, users, foreign } = await this.#open(image.path, sandbox);
    const { home, ...identity } = apptainerIdentity(plan, config.user, users, sandbox.ids);
    const argv = argvOf(plan, config);
    const gpus = await this.#support();
    await this.#pod.prepare(plan, sandbox);
    const mounts = [...gpus.flatMap((gpu) => gpu.mounts), ...this.#kind.options.binds, ...plan.mounts];
    const layer = foreign ? await mountFuseOverlay(lowers, sandbox, this.#path) : undefined;
    const root = imageRootCalls({
      lowers,
      merged: layer?.merged,
      work: sandbox.work,
      // What the pod says about a path wins.
      mounts: prepareMounts([...new Map(mounts.map((mount) => [mount.target, mount])).values()]),
      readOnly: plan.security.readOnlyRootFilesystem ?? false,
      privileged: plan.security.privileged ?? false,
      inUserNamespace: sandbox.ids !== undefined,
      devices: gpus.flatMap((gpu) => gpu.devices),
      scratch: foreign && !layer ? SCRATCH : [],
    });
    const command = {
      argv,
      env: this.#environmentOf(plan, config, home, gpus),
      cwd: plan.workingDir ?? config.workingDir ?? '/',
    };
    const setup = {
      root,
      identity,
      command,
      tty: plan.tty,
      sharedProcesses: plan.sharedProcesses ?? false,
      hostname: plan.hostname,
    };
    const removeLayer = (): Promise<void> =>
      // The sandbox may have ended, and the layer with it.
      (layer?.remove() ?? Promise.resolve()).catch((error: unknown) =>
        this.#deps.logger.debug('layer of a container not removed', { container: plan.name, err: error }),
      );
    try {
      const running = await this.#pod.start(setup, output, sandbox);
      const { stopSignal } = config;
      return { ...running, exited: running.exited.finally(removeLayer), ...(stopSignal ? { stopSignal } : {}) };
    } catch (error) {
      await removeLayer();
      throw explain(error);
    }
  }

  async giveToGroup(paths: readonly string[], gid: number): Promise<void> {
    await this.#pod.giveToGroup(paths, gid);
  }

  async diskUsage(paths: readonly string[]): Promise<readonly number[]> {
    return this.#pod.diskUsage(paths);
  }

  async removeTrees(paths: readonly string[]): Promise<void> {
    await this.#pod.removeTrees(paths);
  }

  async close(): Promise<void> {
    this.#images.clear();
    await this.#pod.close();
    await this.#store.close();
  }

  /** Once per image and sandbox; tried again after a failure. */
  #open(path: string, sandbox: Sandbox): Promise<OpenImage> {
    const name = `image-${this.#images.size}`;
    const open =
      this.#images.get(path) ??
      openImage(path, { sandbox, path: this.#path, name }).catch((error: unknown) => {
        this.#images.delete(path);
        throw error;
      });
    this.#images.set(path, open);
    return open;
  }

  #support(): Promise<readonly GpuSupport[]> {
    const deps = { commands: this.#deps.commands, path: this.#path };
    const { nvidia, rocm } = this.#kind.options;
    this.#gpus ??= Promise.all([
      ...(nvidia ? [gpuSupport('nvidia', deps)] : []),
      ...(rocm ? [gpuSupport('rocm', deps)] : []),
    ]);
    return this.#gpus;
  }

  #environmentOf(
    plan: ContainerPlan,
    config: ImageConfig,
    home: string,
    gpus: readonly GpuSupport[],
  ): ReadonlyMap<string, string> {
    const env = new Map([['PATH', DEFAULT_PATH], ...config.env, ['HOSTNAME', plan.hostname]]);
    if (gpus.length > 0)
      for (const name of GPU_VARIABLES) {
        const value = this.#environment[name];
        if (value !== undefined) env.set(name, value);
      }
    for (const [name, value] of plan.env) env.set(name, value);
    const libraries = gpus.find((gpu) => gpu.libraries !== undefined)?.libraries;
    if (libraries !== undefined)
      env.set('LD_LIBRARY_PATH', [env.get('LD_LIBRARY_PATH'), libraries].filter(Boolean).join(':'));
    if (!env.has('HOME')) env.set('HOME', home);
    return env;
  }
}

/** `command` replaces ENTRYPOINT and CMD, `args` replaces CMD. */
function argvOf({ name, command, args }: ContainerPlan, { entrypoint, cmd }: ImageConfig): readonly string[] {
  const argv = command ? [...command, ...(args ?? [])] : [...entrypoint, ...(args ?? cmd)];
  if (argv.length === 0)
    throw new InterlinkError(
      'Invalid',
      `container ${name}: no command specified, neither by the pod nor by its image`,
      {
        code: 'CreateContainerError',
      },
    );
  return argv;
}

function explain(error: unknown): unknown {
  if (!isKind(error, 'Invalid') || error.details.what !== OVERLAY) return error;
  return new InterlinkError(
    'Unsupported',
    `${error.message}; without privileges that needs Linux 5.11 (or Red Hat 8.5), and an image that is not on an overlay itself`,
    { code: 'CreateContainerError', cause: error },
  );
}
