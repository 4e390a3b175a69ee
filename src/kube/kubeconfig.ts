import { readFile } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { parseDocument } from 'yaml';
import type { Clock } from '../base/clock.ts';
import type { CommandRunner } from '../base/command.ts';
import { InterlinkError, messageOf } from '../base/errors.ts';
import { Secret } from '../base/secret.ts';
import { type CredentialPlan, credentialSource } from './credential-source.ts';
import { type ExecPlugin, execCredential } from './exec-credential.ts';
import type { KubeConnection } from './kube-connection.ts';

export interface KubeconfigDeps {
  readonly clock: Clock;
  readonly commands: CommandRunner;
  /** Given to credential plugins. */
  readonly environment: Readonly<Record<string, string>>;
}

export interface KubeconfigOptions {
  /** Absent: `current-context`. */
  readonly context?: string;
  /** Without it a cluster with `insecure-skip-tls-verify` is refused. */
  readonly allowInsecure?: boolean;
}

interface Cluster {
  readonly server?: string;
  readonly 'certificate-authority'?: string;
  readonly 'certificate-authority-data'?: string;
  readonly 'insecure-skip-tls-verify'?: boolean;
  readonly 'tls-server-name'?: string;
  readonly 'proxy-url'?: string;
}

interface User {
  readonly token?: string;
  readonly tokenFile?: string;
  readonly 'client-certificate'?: string;
  readonly 'client-certificate-data'?: string;
  readonly 'client-key'?: string;
  readonly 'client-key-data'?: string;
  readonly exec?: ExecPlugin;
  readonly username?: string;
  readonly 'auth-provider'?: unknown;
  readonly as?: string;
}

interface Context {
  readonly cluster?: string;
  readonly user?: string;
  readonly namespace?: string;
}

interface Kubeconfig {
  readonly 'current-context'?: string;
  readonly clusters?: readonly { readonly name: string; readonly cluster: Cluster }[];
  readonly users?: readonly { readonly name: string; readonly user?: User | null }[];
  readonly contexts?: readonly { readonly name: string; readonly context: Context }[];
}

const LOOPBACK = /^(localhost|127\.\d+\.\d+\.\d+|\[::1\])$/;

/**
 * The connection that a kubeconfig file describes; paths in it are relative to the file.
 *
 * @throws Invalid naming the file and the entry that is missing, unsupported (`proxy-url`, passwords, `auth-provider`, impersonation) or insecure.
 */
export async function readKubeconfig(
  path: string,
  deps: KubeconfigDeps,
  options: KubeconfigOptions = {},
): Promise<KubeConnection> {
  const invalid = (why: string, cause?: unknown): InterlinkError =>
    new InterlinkError('Invalid', `kubeconfig ${path}: ${why}`, {
      code: 'kube.kubeconfig',
      ...(cause === undefined ? {} : { cause }),
    });
  const config = await parseFile(path, invalid);
  const contextName = options.context ?? config['current-context'];
  if (!contextName) throw invalid('has no current-context; set it with `kubectl config use-context`');
  const context = config.contexts?.find(({ name }) => name === contextName)?.context;
  if (!context) throw invalid(`has no context ${contextName}`);
  const cluster = config.clusters?.find(({ name }) => name === context.cluster)?.cluster;
  if (!cluster) throw invalid(`has no cluster ${context.cluster}, which context ${contextName} names`);
  const user = config.users?.find(({ name }) => name === context.user)?.user ?? {};
  if (context.user && !config.users?.some(({ name }) => name === context.user))
    throw invalid(`has no user ${context.user}, which context ${contextName} names`);

  const server = parseServer(cluster.server, invalid);
  const insecure = cluster['insecure-skip-tls-verify'] === true;
  if (insecure && !options.allowInsecure)
    throw invalid(
      'insecure-skip-tls-verify would let anybody between here and the server read every Secret; give certificate-authority instead, or allow it with insecureKubeconfig',
    );
  if (cluster['proxy-url']) throw invalid('proxy-url is not supported; give a server that can be reached directly');
  refuseUnsupportedUser(user, invalid);
  const at = (file: string): string => resolve(dirname(path), file);
  let caData = decode(cluster['certificate-authority-data']);
  if (caData === undefined && cluster['certificate-authority'] !== undefined) {
    try {
      caData = await readFile(at(cluster['certificate-authority']), 'utf8');
    } catch (error) {
      throw invalid(`certificate-authority cannot be read: ${messageOf(error)}`, error);
    }
  }
  return {
    server,
    ...(caData === undefined ? {} : { caData }),
    ...(cluster['tls-server-name'] === undefined ? {} : { serverName: cluster['tls-server-name'] }),
    insecureSkipTlsVerify: insecure,
    namespace: context.namespace || 'default',
    source: `kubeconfig ${path}`,
    credentials: credentialSource(planOf(user, at, path, deps), deps.clock),
  };
}

async function parseFile(path: string, invalid: (why: string, cause?: unknown) => InterlinkError): Promise<Kubeconfig> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    throw invalid(`cannot be read: ${messageOf(error)}`, error);
  }
  // Pretty errors would quote the lines around the fault, which may hold a token.
  const document = parseDocument(text, { schema: 'core', prettyErrors: false });
  const [fault] = document.errors;
  if (fault !== undefined) throw invalid(`is no YAML: ${fault.code} at byte ${fault.pos[0]}`);
  const value: unknown = document.toJS();
  if (typeof value !== 'object' || value === null) throw invalid('is empty or no YAML mapping');
  for (const list of ['clusters', 'users', 'contexts'] as const) {
    const entries = (value as Kubeconfig)[list];
    if (entries === undefined || entries === null) continue;
    const named = Array.isArray(entries) && entries.every((entry) => typeof Object(entry).name === 'string');
    if (!named) throw invalid(`${list} is not a list of named entries`);
  }
  return value as Kubeconfig;
}

function parseServer(server: string | undefined, invalid: (why: string) => InterlinkError): string {
  const url = URL.parse(server ?? '');
  if (!url || !['https:', 'http:'].includes(url.protocol)) throw invalid(`server ${server} is no https URL`);
  if (url.protocol === 'http:' && !LOOPBACK.test(url.hostname))
    throw invalid(`server ${server} is not encrypted; use https (plain http is accepted on loopback only)`);
  return url.href.replace(/\/+$/, '');
}

function refuseUnsupportedUser(user: User, invalid: (why: string) => InterlinkError): void {
  if (user['auth-provider'])
    throw invalid('auth-provider was removed from Kubernetes 1.26; use the exec plugin of your provider');
  if (user.username) throw invalid('a user with a password is not supported; use a token or a client certificate');
  if (user.as) throw invalid('impersonation (as) is not supported');
}

function planOf(user: User, at: (file: string) => string, path: string, deps: KubeconfigDeps): CredentialPlan {
  const { exec, token } = user;
  if (exec !== undefined && exec !== null) {
    const plugin = { ...exec, command: exec.command.includes('/') ? at(exec.command) : exec.command };
    return { exec: (signal) => execCredential(plugin, { ...deps, cwd: dirname(resolve(path)) }, signal) };
  }
  const certificate = decode(user['client-certificate-data']);
  const key = decode(user['client-key-data']);
  return {
    ...(user.tokenFile ? { tokenFile: at(user.tokenFile) } : {}),
    ...(token ? { token: new Secret(token) } : {}),
    ...(certificate === undefined ? fileField('certificateFile', user['client-certificate'], at) : { certificate }),
    ...(key === undefined ? fileField('keyFile', user['client-key'], at) : { key: new Secret(key) }),
  };
}

function fileField<K extends string>(
  name: K,
  file: string | undefined,
  at: (file: string) => string,
): Partial<Record<K, string>> {
  return file === undefined || file === '' ? {} : ({ [name]: at(file) } as Partial<Record<K, string>>);
}

function decode(base64: string | undefined): string | undefined {
  return base64 === undefined || base64 === '' ? undefined : Buffer.from(base64, 'base64').toString('utf8');
}
