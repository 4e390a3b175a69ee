import type { CommandRunner } from '../base/command.ts';
import { InterlinkError } from '../base/errors.ts';
import { Secret } from '../base/secret.ts';
import type { KubeCredentials } from './kube-connection.ts';

/** The `exec` of a kubeconfig's user. */
export interface ExecPlugin {
  readonly apiVersion: string;
  readonly command: string;
  readonly args?: readonly string[] | null;
  readonly env?: readonly { readonly name: string; readonly value: string }[] | null;
  readonly installHint?: string;
}

const TIMEOUT_MS = 60_000;

/**
 * Runs a client-go credential plugin and gives what it printed. `environment` is passed on with the plugin's own variables on top.
 *
 * @throws Unauthenticated when the plugin is missing, fails or prints no ExecCredential; its output, which may hold a token, is not quoted.
 * @see https://kubernetes.io/docs/reference/access-authn-authz/authentication/#client-go-credential-plugins
 */
export async function execCredential(
  plugin: ExecPlugin,
  deps: {
    readonly commands: CommandRunner;
    readonly environment: Readonly<Record<string, string>>;
    readonly cwd: string;
  },
  signal: AbortSignal,
): Promise<{ credentials: KubeCredentials; expiresAtMs?: number }> {
  const { apiVersion, command, args, env, installHint } = plugin;
  const fail = (why: string, cause?: unknown): InterlinkError =>
    new InterlinkError('Unauthenticated', `credential plugin ${command}: ${why}`, {
      code: 'kube.exec-plugin',
      ...(cause === undefined ? {} : { cause }),
    });
  const info = { apiVersion, kind: 'ExecCredential', spec: { interactive: false } };
  let stdout: string;
  try {
    const result = await deps.commands.run([command, ...(args ?? [])], {
      env: {
        ...deps.environment,
        ...Object.fromEntries((env ?? []).map(({ name, value }) => [name, value])),
        KUBERNETES_EXEC_INFO: JSON.stringify(info),
      },
      cwd: deps.cwd,
      timeoutMs: TIMEOUT_MS,
      signal,
    });
    if (result.timedOut) throw fail(`did not end within ${TIMEOUT_MS / 1000} s`);
    if (result.exitCode !== 0)
      throw fail(`ended with ${result.exitCode ?? result.exitSignal}: ${result.stderr.trim().slice(-500)}`);
    stdout = result.stdout;
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof InterlinkError && error.code === 'kube.exec-plugin') throw error;
    throw fail(`cannot be started${installHint === undefined ? '' : `; ${installHint.trim()}`}`, error);
  }
  const status = parseStatus(stdout);
  if (status === undefined) throw fail('printed no ExecCredential with a status');
  const { token, clientCertificateData, clientKeyData, expirationTimestamp } = status;
  if (token === undefined && (clientCertificateData === undefined || clientKeyData === undefined))
    throw fail('gave neither a token nor a certificate with its key');
  const expiresAtMs = expirationTimestamp === undefined ? Number.NaN : Date.parse(expirationTimestamp);
  return {
    credentials: {
      ...(token === undefined ? {} : { token: new Secret(token) }),
      ...(clientCertificateData === undefined || clientKeyData === undefined
        ? {}
        : { certificate: { certificate: clientCertificateData, key: new Secret(clientKeyData) } }),
    },
    ...(Number.isNaN(expiresAtMs) ? {} : { expiresAtMs }),
  };
}

interface ExecStatus {
  readonly token?: string;
  readonly clientCertificateData?: string;
  readonly clientKeyData?: string;
  readonly expirationTimestamp?: string;
}

function parseStatus(stdout: string): ExecStatus | undefined {
  let document: unknown;
  try {
    document = JSON.parse(stdout);
  } catch {
    // Not quoted and not passed on as cause: the text may hold a token. The caller says what is missing.
    return undefined;
  }
  const status = (document as { status?: Record<string, unknown> | null } | null)?.status;
  if (typeof status !== 'object' || status === null) return undefined;
  const names = ['token', 'clientCertificateData', 'clientKeyData', 'expirationTimestamp'] as const;
  return Object.fromEntries(
    names.flatMap((name) => (typeof status[name] === 'string' && status[name] !== '' ? [[name, status[name]]] : [])),
  );
}
