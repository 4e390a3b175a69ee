import { createHash } from 'node:crypto';
import { constants } from 'node:os';
import { basename } from 'node:path';
import type { Clock } from '../../src/base/clock.ts';
import { InterlinkError } from '../../src/base/errors.ts';
import type {
  ContainerExit,
  ContainerOutput,
  ContainerPlan,
  ContainerRuntime,
  ExecRequest,
  ImageFault,
  PullContext,
  ResolvedImage,
  RunningContainer,
} from '../../src/runner/container-runtime.ts';

/** What a script sees of the container that it plays. */
export interface FakeContainer {
  readonly plan: ContainerPlan;
  readonly output: ContainerOutput;
  /** Ends the container; later calls do nothing. */
  exit(code: number, facts?: Partial<ContainerExit>): void;
  /** Called for each signal; without a listener SIGTERM is ignored, as by a first process, and SIGKILL always ends it. */
  onSignal(listener: (signal: NodeJS.Signals) => void): void;
}

export type Script = (container: FakeContainer) => unknown;

/** Plays a program that is executed in a container; gives its exit code. One that throws was not executed. An abort ends it with 137. */
export type ExecScript = (request: ExecRequest, plan: ContainerPlan) => number | Promise<number>;

/** A container runtime whose containers are functions. */
export class FakeRuntime implements ContainerRuntime {
  readonly name = 'process' as const;
  readonly started: ContainerPlan[] = [];
  readonly resolved: string[] = [];
  /** `user:password` of each login that the pod has for the image, by call of `resolveImage`. */
  readonly logins: string[][] = [];
  /** Names of running containers. */
  readonly running = new Set<string>();
  readonly signals: string[] = [];
  /** Image name → fault; delete an entry to make the image available. */
  readonly faults = new Map<string, { reason: ImageFault; message: string }>();
  /** Container name → error of `start`. */
  readonly startErrors = new Map<string, InterlinkError>();
  /** Bytes that each directory holds, by the end of its path. */
  readonly usage = new Map<string, number>();
  /** Container name → stop signal of its image. */
  readonly stopSignals = new Map<string, NodeJS.Signals>();
  probeError: Error | undefined;
  /** Without one every program exits with 0. */
  exec: ExecScript = () => 0;
  readonly #clock: Clock;
  readonly #scripts: Readonly<Record<string, Script>>;

  constructor(clock: Clock, scripts: Readonly<Record<string, Script>>) {
    this.#clock = clock;
    this.#scripts = scripts;
  }

  async probe(): Promise<void> {
    if (this.probeError) throw this.probeError;
  }

  async diskUsage(paths: readonly string[]): Promise<readonly number[]> {
    return paths.map((path) => this.usage.get(basename(path)) ?? 0);
  }

  async resolveImage(image: string, _policy: string, _signal: AbortSignal, pull: PullContext): Promise<ResolvedImage> {
    this.resolved.push(image);
    this.logins.push(pull.keyring.lookup(image).map(({ username, password }) => `${username}:${password.reveal()}`));
    const fault = this.faults.get(image);
    if (fault?.reason === 'ErrImagePull') pull.onPulling();
    if (fault) throw new InterlinkError('Unavailable', fault.message, { code: fault.reason });
    return { path: '', imageId: `fake://${image}` };
  }

  async start(plan: ContainerPlan, _image: ResolvedImage, output: ContainerOutput): Promise<RunningContainer> {
    this.started.push(plan);
    const error = this.startErrors.get(plan.name);
    if (error) throw error;
    const { promise, resolve } = Promise.withResolvers<ContainerExit>();
    let listener: ((signal: NodeJS.Signals) => void) | undefined;
    const now = (): string => new Date(this.#clock.nowMs()).toISOString();
    const exit = (exitCode: number, facts: Partial<ContainerExit> = {}): void => {
      this.running.delete(plan.name);
      resolve({ exitCode, oomKilled: false, finishedAt: now(), ...facts });
    };
    this.running.add(plan.name);
    const script = this.#scripts[plan.name] ?? (({ exit: end }) => end(0));
    setImmediate(() =>
      script({
        plan,
        output,
        exit,
        onSignal: (added) => {
          listener = added;
        },
      }),
    );
    const stopSignal = this.stopSignals.get(plan.name);
    return {
      id: createHash('sha256').update(`${plan.name}/${plan.attempt}`).digest('hex'),
      startedAt: now(),
      pid: undefined,
      exited: promise,
      ...(stopSignal ? { stopSignal } : {}),
      kill: (signal) => {
        this.signals.push(`${plan.name} ${signal}`);
        listener?.(signal);
        if (signal === 'SIGKILL') exit(128 + constants.signals.SIGKILL);
      },
      exec: async (request) => {
        request.signal.throwIfAborted();
        if (!this.running.has(plan.name))
          throw new InterlinkError('NotFound', 'container is not running', { code: 'ContainerNotRunning' });
        const killed = Promise.withResolvers<number>();
        request.signal.addEventListener('abort', () => killed.resolve(137), { once: true });
        void promise.then(() => killed.resolve(137));
        const code = this.exec(request, plan);
        const exited = Promise.race([code, killed.promise]).then((exitCode) => {
          request.output.stdout.end();
          request.output.stderr.end();
          return { exitCode };
        });
        return {
          exited,
          kill: (signal) => {
            this.signals.push(`${plan.name} exec ${signal}`);
            if (signal === 'SIGKILL') killed.resolve(137);
          },
        };
      },
    };
  }
}
