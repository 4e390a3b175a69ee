import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { outcomeOf, outputOf } from './command.ts';
import { environment } from './environment.ts';
import { type Issuer, startIssuer } from './issuer.ts';
import { kubectl, kubectlOutcome } from './kubectl.ts';
import { createProgram, endLeftovers, type Program } from './program.ts';
import { NODE_ADDRESS, type Site, sectionsOf } from './stack-config.ts';
import { createStackFiles } from './stack-files.ts';
import { createIdentity, type Identity } from './stack-identity.ts';
import { untilNodeReady } from './stack-node.ts';

export interface StackOptions {
  /** Names the directory, the node and the namespace. */
  readonly name: string;
  /** `slurm` unless given. A stack of each kind may live at once, not two of Slurm. */
  readonly site?: Site;
  /** Whether jobs may open the live channel; true unless given. */
  readonly channel?: boolean;
  readonly pollIntervalSeconds?: number;
  /** Further keys of the sidecar's section. */
  readonly sidecar?: object;
  /** A service account with the rights of the manifest for this namespace alone, unless given. */
  readonly identity?: Identity;
}

/** Our own parts, from the built executable: a sidecar and a proxy as the submitting user, and a node. */
export interface Stack extends AsyncDisposable {
  readonly nodeName: string;
  readonly site: Site;
  /** For the pods of this stack; removed with it. */
  readonly namespace: string;
  readonly directory: string;
  readonly proxyUrl: string;
  /** Certificate of the proxy, in PEM. */
  readonly proxyCa: string;
  readonly issuer: Issuer;
  readonly vk: Program;
  readonly proxy: Program;
  readonly sidecar: Program;
  /** Everything that any part has logged, the audit included. */
  log(): string;
  auditLog(): string;
  /** How often the sidecar has called `squeue`. */
  squeueCalls(): number;
}

/** Where the ports of stacks begin; each takes four. */
const FIRST_PORT = Number(process.env.INTERLINK_E2E_PORT ?? 26_443) + 20;

/** Starts everything and waits until the node is Ready; what an earlier run left under the same name is removed first. */
export async function startStack(options: StackOptions): Promise<Stack> {
  const {
    name,
    site = 'slurm',
    channel = true,
    pollIntervalSeconds = 5,
    sidecar: more = {},
    identity = 'serviceAccount',
  } = options;
  const nodeName = `e2e-${name}`;
  const namespace = `e2e-${name}-${randomBytes(3).toString('hex')}`;
  await using undo = new AsyncDisposableStack();

  await endLeftovers(join(environment.stacks, name));
  await cancelAllJobs(site);
  await kubectl(['delete', 'node', nodeName, '--ignore-not-found']);
  await kubectl(['delete', 'namespace', '-l', `interlink-e2e=${name}`, '--wait=false']);
  const files = await createStackFiles(name);
  const issuer = undo.use(await startIssuer({ directory: files.directory, ...files.certificate }));
  await kubectl(['create', 'namespace', namespace]);
  await kubectl(['label', 'namespace', namespace, `interlink-e2e=${name}`]);
  undo.defer(
    async () => void (await kubectlOutcome(['delete', 'node', nodeName, '--ignore-not-found', '--wait=false'])),
  );

  const port = FIRST_PORT + (await freePortOffset());
  const sections = sectionsOf({
    ...files,
    kind: site,
    cgroup: site === 'local' ? await userCgroup() : undefined,
    issuer,
    nodeName,
    channel,
    pollIntervalSeconds,
    sidecar: more,
    kubeconfig: files.write(join(files.cluster, 'kubeconfig'), await createIdentity(identity, nodeName, namespace)),
    tokenFile: files.write(join(files.cluster, 'token'), await issuer.token()),
    proxyPort: port,
    kubeletPort: port + 1,
    channelPort: port + 2,
  });
  const create = async (part: 'vk' | 'proxy' | 'sidecar', ...command: string[]): Promise<Program> => {
    const config = files.write(
      join(part === 'vk' ? files.cluster : files.site, `${part}.yaml`),
      JSON.stringify(sections[part], null, 1),
    );
    const program = await createProgram({
      name: part,
      argv: [files.executable, ...command, '--config', config, '--log-level', 'debug', '--log-format', 'json'],
      user: environment.user,
      env: { PATH: `${files.tools}:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin` },
      cwd: files.site,
      directory: files.directory,
    });
    undo.defer(() => program.kill('SIGTERM'));
    await program.start();
    return program;
  };
  const sidecar = await create('sidecar', 'sidecar', site);
  const proxy = await create('proxy', 'proxy', 'start');
  const vk = await create('vk', 'vk', 'start');
  // Runs before the parts are stopped, so that they can end their pods.
  undo.defer(async () => {
    await kubectlOutcome(['delete', 'namespace', namespace, '--timeout=60s']);
    await cancelAllJobs(site);
  });
  await untilNodeReady(nodeName, [sidecar, proxy, vk], { address: NODE_ADDRESS, port: port + 1 });

  const audit = join(files.site, 'audit.log');
  const auditLog = (): string => (existsSync(audit) ? readFileSync(audit, 'utf8') : '');
  const kept = undo.move();
  return {
    nodeName,
    site,
    namespace,
    directory: files.directory,
    proxyUrl: `https://127.0.0.1:${port}`,
    proxyCa: readFileSync(files.certificate.certFile, 'utf8'),
    issuer,
    vk,
    proxy,
    sidecar,
    log: () => [sidecar.log(), proxy.log(), vk.log(), issuer.log(), auditLog()].join('\n'),
    auditLog,
    squeueCalls: files.squeueCalls,
    [Symbol.asyncDispose]: () => kept.disposeAsync(),
  };
}

/** The cluster is these tests' own, and only one run uses it at a time. Jobs of `local` are processes of the stack's directory, see `endLeftovers`. */
async function cancelAllJobs(site: Site): Promise<void> {
  if (site !== 'slurm') return;
  await outcomeOf(['scancel', '-u', environment.user], { env: { ...process.env, SLURM_CONF: environment.slurmConf } });
}

/**
 * What an administrator does once for a `local` sidecar: a memory cgroup that belongs to the user. Version 2 lets a user move processes only within the
 * cgroup that his session was given, so there pods have no limit.
 */
async function userCgroup(): Promise<string | undefined> {
  const controller = '/sys/fs/cgroup/memory';
  if (!existsSync(join(controller, 'memory.limit_in_bytes'))) return undefined;
  const cgroup = join(controller, 'interlink-e2e');
  mkdirSync(cgroup, { recursive: true });
  await outputOf(['chown', environment.user, cgroup]);
  return cgroup;
}

/** A multiple of four such that nobody listens on that port or the next three. */
async function freePortOffset(): Promise<number> {
  const listening = (await outputOf(['ss', '-Htln'])).match(/:\d+/g)?.map((text) => Number(text.slice(1))) ?? [];
  const taken = (offset: number): boolean =>
    [0, 1, 2, 3].some((more) => listening.includes(FIRST_PORT + offset + more));
  let offset = 0;
  while (taken(offset)) offset += 4;
  return offset;
}
