/**
 * Runs containers as whoever starts this program: a `DriverRequest` as JSON on standard input, one `DriverResult` per line as they end, in order.
 * `@` at the start of a mount's source stands for the directory of this run.
 */
import { chmod, chown, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { PassThrough } from 'node:stream';
import { json, text } from 'node:stream/consumers';
import { systemClock } from '../../../src/base/clock.ts';
import { silentLogger } from '../../../src/base/logger.ts';
import { jobDirectory, type RuntimeSettings } from '../../../src/contract/job-directory.ts';
import type { ContainerPlan, RunningContainer } from '../../../src/runner/container-runtime.ts';
import { createRuntime } from '../../../src/runner/create-runtime.ts';
import { RegistryKeyring } from '../../../src/runner/registry-keyring.ts';

export interface DriverFile {
  readonly path: string;
  /** A directory when absent. */
  readonly content?: string;
  readonly mode: number;
  readonly gid?: number;
}

export interface DriverContainer {
  readonly plan: Partial<ContainerPlan>;
  readonly image: string;
  readonly pullPolicy?: 'Always' | 'IfNotPresent' | 'Never';
  /** Is started without waiting for the end of the one before. */
  readonly together?: boolean;
  /** Sent that long after the start, or after the container's first output where it has something to prepare. */
  readonly signals?: readonly {
    readonly afterMs: number;
    readonly signal: NodeJS.Signals;
    readonly afterOutput?: boolean;
  }[];
  /** Programs that are executed in it one after the other, after its first output. */
  readonly execs?: readonly (readonly string[])[];
}

/** What came of one of {@link DriverContainer.execs}. */
export interface DriverExec {
  readonly exitCode?: number;
  readonly stdout?: string;
  readonly stderr?: string;
  readonly code?: string;
  readonly message?: string;
}

export interface DriverRequest {
  /** Images are pulled into the directory of this run unless it names another. */
  readonly settings: RuntimeSettings;
  readonly environment?: Readonly<Record<string, string>>;
  /** Registry → `user:password`: what the pod's imagePullSecrets hold. */
  readonly logins?: Readonly<Record<string, string>>;
  readonly files: readonly DriverFile[];
  readonly containers: readonly DriverContainer[];
  /** Starts the containers, prints its pid and leaves them running. */
  readonly hold?: boolean;
}

export interface DriverResult {
  readonly exitCode?: number;
  readonly signal?: number;
  readonly stdout?: string;
  readonly stderr?: string;
  readonly startMs: number;
  readonly imageId?: string;
  readonly code?: string;
  readonly message?: string;
  readonly execs?: readonly DriverExec[];
}

const request = (await json(process.stdin)) as DriverRequest;
const directory = await mkdtemp(join(tmpdir(), 'interlink-driver-'));
for (const { path, content, mode, gid } of request.files) {
  const at = join(directory, path);
  await mkdir(dirname(at), { recursive: true });
  if (content === undefined) await mkdir(at, { recursive: true });
  else await writeFile(at, content);
  if (gid !== undefined && process.getuid?.() === 0) await chown(at, -1, gid);
  await chmod(at, mode);
}
const runtime = await createRuntime(
  { imageCache: join(directory, 'images'), ...request.settings },
  {
    directory: jobDirectory(directory),
    clock: systemClock,
    logger: silentLogger,
    ...(request.environment && { environment: request.environment }),
  },
);
const signal = new AbortController().signal;
const auths = Object.entries(request.logins ?? {}).map(([host, login]) => [
  host,
  { auth: Buffer.from(login).toString('base64') },
]);
const config = Buffer.from(JSON.stringify({ auths: Object.fromEntries(auths) })).toString('base64');
const secrets = [{ type: 'kubernetes.io/dockerconfigjson', data: { '.dockerconfigjson': config } }];
const pull = { keyring: RegistryKeyring.of(secrets, silentLogger), onPulling: () => {} };
await runtime.probe(signal);

async function execute(container: RunningContainer, argv: readonly string[]): Promise<DriverExec> {
  const [stdout, stderr] = [new PassThrough(), new PassThrough()];
  try {
    const program = await container.exec({ argv, output: { stdout, stderr }, signal });
    const [out, err, { exitCode }] = await Promise.all([text(stdout), text(stderr), program.exited]);
    return { exitCode, stdout: out, stderr: err };
  } catch (error) {
    const { code, message } = error as { code?: string; message: string };
    return { message, ...(code && { code }) };
  }
}

async function run({
  plan,
  image,
  pullPolicy = 'IfNotPresent',
  signals = [],
  execs = [],
}: DriverContainer): Promise<DriverResult> {
  const begun = performance.now();
  const [stdout, stderr] = [new PassThrough(), new PassThrough()];
  try {
    const resolved = await runtime.resolveImage(image, pullPolicy, signal, pull);
    const mounts = (plan.mounts ?? []).map((mount) => ({ ...mount, source: mount.source.replace(/^@/, directory) }));
    const whole = { name: 'c', attempt: 0, env: [], security: {}, hostname: 'pod', tty: false, ...plan, mounts };
    const container = await runtime.start(whole, resolved, { stdout, stderr });
    const startMs = performance.now() - begun;
    if (request.hold) return { startMs };
    for (const { afterMs, afterOutput = false, signal: name } of signals) {
      const send = (): unknown => setTimeout(() => container.kill(name), afterMs);
      if (afterOutput) stdout.once('data', send);
      else send();
    }
    const executed: DriverExec[] = [];
    if (execs.length > 0)
      stdout.once('data', async () => {
        for (const argv of execs) executed.push(await execute(container, argv));
      });
    const [out, err, { exitCode, signal: number }] = await Promise.all([text(stdout), text(stderr), container.exited]);
    return {
      ...(execs.length > 0 && { execs: executed }),
      exitCode,
      ...(number && { signal: number }),
      stdout: out,
      stderr: err,
      startMs,
      imageId: resolved.imageId,
    };
  } catch (error) {
    const { code, message } = error as { code?: string; message: string };
    return { message, startMs: performance.now() - begun, ...(code && { code }) };
  }
}

const running: Promise<DriverResult>[] = [];
for (const container of request.containers) {
  const result = run(container);
  running.push(result);
  if (!container.together) await result;
}
const results = await Promise.all(running);
if (request.hold) {
  console.log(process.pid);
  await new Promise(() => setInterval(() => {}, 60_000));
}
for (const result of results) console.log(JSON.stringify(result));
await runtime.removeTrees?.(request.files.map(({ path }) => join(directory, path)));
await runtime.close?.();
await rm(directory, { recursive: true });
