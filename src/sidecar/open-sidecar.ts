import { randomBytes } from 'node:crypto';
import { homedir, hostname, networkInterfaces } from 'node:os';
import { join } from 'node:path';
import type { Clock } from '../base/clock.ts';
import type { CommandRunner } from '../base/command.ts';
import { InterlinkError } from '../base/errors.ts';
import { makePrivateDirectory } from '../base/files.ts';
import type { Logger } from '../base/logger.ts';
import { selfCommand } from '../base/self.ts';
import type { ChannelSettings } from '../contract/job-directory.ts';
import { type Address, parseAddress } from '../http/address.ts';
import { BatchEngine, type EngineChannel } from './batch/engine.ts';
import type { EngineOptions } from './batch/engine-options.ts';
import { type Failpoints, noFailpoints } from './batch/failpoints.ts';
import { JobFiles } from './batch/job-files.ts';
import { Journal } from './batch/journal.ts';
import { channelCertificate } from './channel-certificate.ts';
import { ChannelServer } from './channel-server.ts';
import type { SidecarConfig } from './config.ts';
import { exposedPlaces } from './exposed-places.ts';
import { type BackEnd, SIDECARS, type SidecarKind } from './registry.ts';

export interface OpenSidecarDeps {
  readonly kind: SidecarKind;
  readonly config: SidecarConfig;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly commands: CommandRunner;
  /** The environment of this process; a few variables of it are handed on to programs of the site. */
  readonly environment: Readonly<Record<string, string>>;
  readonly version: string;
  /** Starts interlink again inside a job; this very program unless given. */
  readonly command?: readonly [string, ...string[]];
  readonly failpoint?: Failpoints;
}

/** A running back end and the directory that it keeps its state in. Disposing it stops no pod. */
export interface OpenedSidecar extends AsyncDisposable {
  readonly engine: BatchEngine;
  readonly stateDirectory: string;
}

/** Variables that programs of the site may need to find themselves; none of them is a secret. */
const HANDED_ON = ['PATH', 'HOME', 'USER', 'LOGNAME', 'TMPDIR', 'SLURM_CONF'];
const DEFAULT_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';
const MS = 1_000;
/** Time between two looks for what may be removed. */
const SWEEP_MS = 10_000;
const MIN_SWEEP_MS = 200;

/**
 * Opens the state directory, takes up the pods in it and begins to work; resolves when every call may be made.
 * @throws Conflict when another sidecar uses the directory, Unavailable or Invalid when it or the channel's address cannot be used.
 */
export async function openSidecar(deps: OpenSidecarDeps): Promise<OpenedSidecar> {
  const { kind, config, clock, logger, commands, environment, version, failpoint = noFailpoints } = deps;
  const backEnd: BackEnd = SIDECARS[kind];
  const stateDirectory = config.stateDirectory ?? join(homedir(), '.local/state/interlink', kind);
  await makePrivateDirectory(stateDirectory);
  const exposed = exposedPlaces(config.volumes, stateDirectory);
  if (exposed.length > 0)
    logger.warn('pods can read the state directory, where the Secrets of other pods are', { stateDirectory, exposed });
  await using resources = new AsyncDisposableStack();
  const journal = resources.use(Journal.open(join(stateDirectory, 'journal.sqlite'), clock));
  const files = await JobFiles.open(stateDirectory, deps.command ?? selfCommand());
  const env = Object.fromEntries(
    HANDED_ON.flatMap((name) => (environment[name] === undefined ? [] : [[name, environment[name]]])),
  );
  const system = backEnd.createSystem({
    config,
    commands,
    logger,
    env: { PATH: DEFAULT_PATH, ...env },
    site: journal.setting('site', () => randomBytes(4).toString('hex')),
    script: files.script,
  });
  const channel = config.channel.enabled
    ? await openChannel(backEnd, config, stateDirectory, journal, { clock, logger })
    : undefined;
  if (channel) resources.defer(() => channel.dispose());
  const options = engineOptions(`interlink-${kind}`, version, stateDirectory, config);
  const engine = resources.use(
    new BatchEngine(
      { system, journal, files, channel, clock, logger, failpoint },
      backEnd.adjust?.(options) ?? options,
    ),
  );
  await engine.start();
  const kept = resources.move();
  return { engine, stateDirectory, [Symbol.asyncDispose]: () => kept.disposeAsync() };
}

function engineOptions(name: string, version: string, stateDirectory: string, config: SidecarConfig): EngineOptions {
  const { runtime, scratch, taints, orphans, policy, volumes } = config;
  return {
    name,
    version,
    pollIntervalMs: config.pollIntervalSeconds * MS,
    soonMs: config.pollSoonSeconds * MS,
    submitConcurrency: config.submitConcurrency,
    createWaitMs: config.createWaitSeconds * MS,
    settleMs: config.settleSeconds * MS,
    lostGraceMs: config.lostGraceSeconds * MS,
    recordGraceMs: config.recordGraceSeconds * MS,
    lingerMs: config.lingerSeconds * MS,
    stopMarginMs: config.stopMarginSeconds * MS,
    retentionMs: config.retentionSeconds * MS,
    tombstoneMs: config.tombstoneSeconds * MS,
    heartbeatMs: config.heartbeatSeconds * MS,
    sweepMs: Math.min(SWEEP_MS, Math.max(MIN_SWEEP_MS, (config.retentionSeconds * MS) / 2)),
    orphans: { cancel: orphans.action === 'cancel', graceMs: orphans.graceSeconds * MS },
    // Podman's images cannot lie on a shared file system; the runner knows a place.
    runtime: { ...(runtime.name !== 'podman' && { imageCache: join(stateDirectory, 'images') }), ...defined(runtime) },
    scratch,
    policy: { ...policy, volumes, runtime: runtime.name, user: ownUser() },
    pods: config.pods,
    ...(taints ? { taints: taints.map(defined) } : {}),
  };
}

/** Jobs run as the user of this process. */
function ownUser(): { readonly uid: number; readonly gid: number; readonly groups: readonly number[] } {
  const [uid, gid] = [process.getuid?.() ?? 0, process.getgid?.() ?? 0];
  return { uid, gid, groups: process.getgroups?.() ?? [gid] };
}

/** The object without its undefined fields, which JSON would drop anyway. */
function defined<T extends object>(value: T): { [K in keyof T]: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(value).filter(([, field]) => field !== undefined)) as never;
}

async function openChannel(
  backEnd: BackEnd,
  config: SidecarConfig,
  stateDirectory: string,
  journal: Journal,
  deps: { readonly clock: Clock; readonly logger: Logger },
): Promise<EngineChannel & { dispose(): Promise<void> }> {
  if (backEnd.channel === 'unix') {
    const address = parseAddress(`unix:${join(stateDirectory, 'channel.sock')}`);
    const server = new ChannelServer(address, undefined, deps);
    return engineChannel(server, () => ({ endpoints: [`unix:${join(stateDirectory, 'channel.sock')}`] }));
  }
  const certificate = await channelCertificate(stateDirectory);
  // Jobs know the port for their whole life, so a chosen one is kept over restarts.
  const { host, port } = parseListen(config.channel.listen ?? `0.0.0.0:${journal.peek('channelPort') ?? 0}`);
  const server = new ChannelServer({ kind: 'tcp', tls: true, host, port }, certificate, deps);
  const hosts = config.channel.advertise ?? (host === '0.0.0.0' || host === '::' ? ownAddresses() : [host]);
  const settings = (): Omit<ChannelSettings, 'token'> => {
    const { address } = server;
    const bound = address.kind === 'tcp' ? address.port : port;
    return {
      endpoints: hosts.map((name) => `wss://${name.includes(':') ? `[${name}]` : name}:${bound}`),
      fingerprint: certificate.fingerprint,
    };
  };
  return engineChannel(server, settings, (address) => {
    if (address.kind === 'tcp') journal.setting('channelPort', () => String(address.port));
  });
}

function engineChannel(
  server: ChannelServer,
  settings: () => Omit<ChannelSettings, 'token'>,
  onListening: (address: Address) => void = () => {},
): EngineChannel & { dispose(): Promise<void> } {
  return {
    async listen(host) {
      await server.listen(host);
      onListening(server.address);
    },
    settings,
    send: (uid, message) => server.send(uid, message),
    openStream: (uid, request, signal) => server.openStream(uid, request, signal),
    dispose: () => server[Symbol.asyncDispose](),
  };
}

/** @throws Invalid unless `text` is `host:port`. */
function parseListen(text: string): { readonly host: string; readonly port: number } {
  const [, host, port] = /^\[?([^\]]+?)\]?:(\d{1,5})$/.exec(text) ?? [];
  if (host === undefined || port === undefined || Number(port) > 65_535)
    throw new InterlinkError(
      'Invalid',
      `sidecar.channel.listen: ${JSON.stringify(text)} is not host:port, e.g. 0.0.0.0:7443`,
    );
  return { host, port: Number(port) };
}

/** Ways to this machine, the likeliest first; a runner tries them in turn. */
function ownAddresses(): readonly string[] {
  const addresses = Object.values(networkInterfaces())
    .flatMap((list) => list ?? [])
    .filter(({ internal, family, address }) => !internal && !(family === 'IPv6' && address.startsWith('fe80')))
    .map(({ address }) => address);
  return [hostname(), ...addresses];
}
