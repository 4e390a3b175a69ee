import { access, readFile } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { InterlinkError, messageOf, systemCodeOf } from '../base/errors.ts';
import { credentialSource } from './credential-source.ts';
import type { KubeConnection } from './kube-connection.ts';
import { type KubeconfigDeps, type KubeconfigOptions, readKubeconfig } from './kubeconfig.ts';

const SERVICE_ACCOUNT = '/var/run/secrets/kubernetes.io/serviceaccount';

export interface LoadOptions extends KubeconfigOptions {
  /** Path of a kubeconfig; when absent: KUBECONFIG of the environment, the pod that this runs in, `~/.kube/config`. */
  readonly kubeconfig?: string;
  /** Where a pod finds its service account; the usual place unless given. */
  readonly serviceAccountDirectory?: string;
}

/**
 * Finds out which API server to speak to and as whom.
 *
 * @throws Invalid when none is configured (the message tells the ways) or the configuration found is unusable.
 */
export async function loadKubeConnection(deps: KubeconfigDeps, options: LoadOptions = {}): Promise<KubeConnection> {
  const { environment } = deps;
  if (options.kubeconfig !== undefined) return readKubeconfig(options.kubeconfig, deps, options);
  const fromEnvironment = (environment.KUBECONFIG ?? '').split(delimiter).filter((path) => path !== '');
  if (fromEnvironment.length > 1)
    throw new InterlinkError('Invalid', 'KUBECONFIG names several files, which are not merged; name one file', {
      code: 'kube.kubeconfig',
    });
  if (fromEnvironment[0] !== undefined) return readKubeconfig(fromEnvironment[0], deps, options);
  const host = environment.KUBERNETES_SERVICE_HOST;
  if (host) return inCluster(host, deps, options.serviceAccountDirectory ?? SERVICE_ACCOUNT);
  const home = environment.HOME;
  if (home !== undefined) {
    const path = join(home, '.kube', 'config');
    if (await exists(path)) return readKubeconfig(path, deps, options);
  }
  throw new InterlinkError(
    'Invalid',
    'no Kubernetes cluster is configured: set kubeconfig, or KUBECONFIG in the environment, or run in a pod with a service account',
    { code: 'kube.no-cluster' },
  );
}

async function inCluster(host: string, deps: KubeconfigDeps, directory: string): Promise<KubeConnection> {
  const port = deps.environment.KUBERNETES_SERVICE_PORT ?? '443';
  const read = async (file: string): Promise<string> => {
    try {
      return await readFile(join(directory, file), 'utf8');
    } catch (error) {
      throw new InterlinkError(
        'Invalid',
        `${join(directory, file)}: ${messageOf(error)}; set automountServiceAccountToken of the pod, or kubeconfig`,
        { code: 'kube.in-cluster', cause: error },
      );
    }
  };
  return {
    server: `https://${host.includes(':') ? `[${host}]` : host}:${port}`,
    caData: await read('ca.crt'),
    insecureSkipTlsVerify: false,
    namespace: (await read('namespace')).trim(),
    source: `the service account in ${directory}`,
    credentials: credentialSource({ tokenFile: join(directory, 'token') }, deps.clock),
  };
}

async function exists(path: string): Promise<boolean> {
  try {
    await access(path);
    return true;
  } catch (error) {
    if (systemCodeOf(error) === 'ENOENT') return false;
    throw error;
  }
}
