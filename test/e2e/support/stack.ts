import { randomBytes } from 'node:crypto';
import {
  chmodSync,
  chownSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { outcomeOf, outputOf } from './command.ts';
import { environment } from './environment.ts';
import { type Issuer, startIssuer } from './issuer.ts';
import { kubectl, kubectlJson, kubectlOutcome } from './kubectl.ts';
import { createProgram, type Program } from './program.ts';
import { sectionsOf } from './stack-config.ts';
import { createIdentity } from './stack-identity.ts';
import { until } from './until.ts';

export interface StackOptions {
  /** Names the directory, the node and the namespace. */
  readonly name: string;
  /** Whether jobs may open the live channel; true unless given. */
  readonly channel?: boolean;
  readonly pollIntervalSeconds?: number;
}

/** Our own parts, from the built executable: a sidecar and a proxy as the submitting user, a node with the identity of the manifest. */
export interface Stack extends AsyncDisposable {
  readonly nodeName: string;
  /** For the pods of this stack; removed with it. */
  readonly namespace: string;
  readonly directory: string;
  readonly proxyUrl: string;
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

/** Where ports begin that stacks use; each takes four. */
const FIRST_PORT = Number(process.env.INTERLINK_E2E_PORT ?? 26_443) + 20;

/** Starts everything and waits until the node is Ready; what an earlier run left under the same name is removed first. */
export async function startStack({ name, channel = true, pollIntervalSeconds = 5 }: StackOptions): Promise<Stack> {
  const directory = join(environment.stacks, name);
  rmSync(directory, { recursive: true, force: true });
  const nodeName = `e2e-${name}`;
  const namespace = `e2e-${name}-${randomBytes(3).toString('hex')}`;
  const [, , uid = '', gid = ''] = (await outputOf(['getent', 'passwd', environment.user])).split(':');
  const owned = (path: string): string => {
    mkdirSync(path, { recursive: true, mode: 0o700 });
    chownSync(path, Number(uid), Number(gid));
    return path;
  };
  mkdirSync(environment.stacks, { recursive: true });
  owned(directory);
  chmodSync(directory, 0o755);
  const site = owned(join(directory, 'site'));
  const cluster = owned(join(directory, 'cluster'));
  const tools = owned(join(directory, 'bin'));
  const write = (path: string, text: string, mode = 0o600): string => {
    writeFileSync(path, text, { mode });
    chmodSync(path, mode);
    chownSync(path, Number(uid), Number(gid));
    return path;
  };

  await using undo = new AsyncDisposableStack();
  // A copy, because the submitting user may not be able to reach the directory of the sources.
  const executable = join(directory, 'interlink');
  copyFileSync(environment.executable, executable);
  chmodSync(executable, 0o755);

  // A squeue that counts how often it is called.
  const calls = write(join(site, 'squeue-calls'), '');
  write(join(tools, 'squeue'), `#!/bin/sh\necho "$*" >>${calls}\nexec ${environment.slurmBin}/squeue "$@"\n`, 0o755);

  const certificate = { certFile: join(site, 'tls.crt'), keyFile: join(site, 'tls.key') };
  await outputOf(
    ['openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '30', '-subj', '/CN=site',
      '-addext', 'subjectAltName=IP:127.0.0.1', '-keyout', certificate.keyFile, '-out', certificate.certFile], // biome-ignore format: one command
  );
  for (const path of Object.values(certificate)) chownSync(path, Number(uid), Number(gid));

  const issuer = undo.use(await startIssuer({ directory, ...certificate }));
  const kubeconfig = write(join(cluster, 'kubeconfig'), await createIdentity(nodeName));
  const tokenFile = write(join(cluster, 'token'), await issuer.token());
  const port = FIRST_PORT + (await freePortOffset());
  const sections = sectionsOf({
    directory,
    site,
    cluster,
    certificate,
    issuer,
    kubeconfig,
    tokenFile,
    nodeName,
    channel,
    pollIntervalSeconds,
    proxyPort: port,
    kubeletPort: port + 1,
    channelPort: port + 2, // biome-ignore format: a list
  });
  const programs = {} as Record<'vk' | 'proxy' | 'sidecar', Program>;
  for (const [part, command] of [
    ['sidecar', ['sidecar', 'slurm']],
    ['proxy', ['proxy', 'start']],
    ['vk', ['vk', 'start']],
  ] as const) {
    const configFile = write(
      join(part === 'vk' ? cluster : site, `${part}.yaml`),
      JSON.stringify(sections[part], null, 1),
    );
    programs[part] = await createProgram({
      name: part,
      argv: [executable, ...command, '--config', configFile, '--log-level', 'debug', '--log-format', 'json'],
      user: environment.user,
      env: { PATH: `${tools}:${environment.slurmBin}:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin` },
      cwd: site,
      logFile: join(directory, `${part}.log`),
    });
    undo.defer(() => programs[part].kill('SIGTERM'));
  }

  const stack: Omit<Stack, typeof Symbol.asyncDispose> = {
    nodeName,
    namespace,
    directory,
    issuer,
    ...programs,
    proxyUrl: `https://127.0.0.1:${port}`,
    proxyCa: readFileSync(certificate.certFile, 'utf8'),
    log: () => [...Object.values(programs), issuer].map((program) => program.log()).join('\n') + stack.auditLog(),
    auditLog: () => (existsSync(join(site, 'audit.log')) ? readFileSync(join(site, 'audit.log'), 'utf8') : ''),
    squeueCalls: () => readFileSync(calls, 'utf8').split('\n').length - 1, // biome-ignore format: a list
  };

  undo.defer(async () => {
    await kubectlOutcome(['delete', 'node', nodeName, '--ignore-not-found', '--wait=false']);
  });
  await kubectl(['delete', 'node', nodeName, '--ignore-not-found']);
  await kubectl(['create', 'namespace', namespace]);
  undo.defer(async () => {
    await kubectlOutcome(['delete', 'namespace', namespace, '--timeout=60s']);
    await outcomeOf(['scancel', '-u', environment.user], {
      env: { ...process.env, SLURM_CONF: environment.slurmConf },
    });
  });
  await programs.sidecar.start();
  await programs.proxy.start();
  await programs.vk.start();
  await until(
    `node ${nodeName} is Ready`,
    async () => {
      for (const part of Object.values(programs))
        if (part.pid === undefined) throw new Error(`${part.name} has ended:\n${part.log().slice(-3000)}`);
      await approveServingCertificates(nodeName);
      const text = await kubectl(['get', 'node', nodeName, '--ignore-not-found', '-o', 'json']);
      if (text.trim() === '') return false;
      const node = JSON.parse(text) as {
        status?: { conditions?: { type: string; status: string }[] };
        spec?: { taints?: { key: string }[] };
      };
      const ready = node.status?.conditions?.some(({ type, status }) => type === 'Ready' && status === 'True');
      return ready && !node.spec?.taints?.some(({ key }) => key.startsWith('node.kubernetes.io/'));
    },
    { withinMs: 60_000, evidence: () => Object.values(programs).map((part) => part.log().slice(-2000)) },
  );
  const kept = undo.move();
  return { ...stack, [Symbol.asyncDispose]: () => kept.disposeAsync() };
}

/** What the cluster's administrator does once per node: approves the serving certificates that it asks for. */
export async function approveServingCertificates(nodeName: string): Promise<void> {
  const requests = await kubectlJson<{
    items: {
      metadata: { name: string };
      spec: { signerName: string; username: string; request: string };
      status: object;
    }[];
  }>(['get', 'csr']);
  for (const { metadata, spec, status } of requests.items) {
    if (spec.signerName !== 'kubernetes.io/kubelet-serving' || Object.keys(status).length > 0) continue;
    const subject = await outputOf(['openssl', 'req', '-noout', '-subject'], {
      stdin: Buffer.from(spec.request, 'base64').toString(),
    });
    if (subject.includes(`system:node:${nodeName}`)) await kubectl(['certificate', 'approve', metadata.name]);
  }
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
