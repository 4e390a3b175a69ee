import { readFileSync } from 'node:fs';
import { mkdtempDisposable } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { outputOf } from './command.ts';
import { environment } from './environment.ts';
import { kubectl } from './kubectl.ts';

/** The two ways in which a node may act in a cluster. */
export type Identity = 'serviceAccount' | 'node';

/** The kubeconfig of a node with no more rights than `examples/node-rbac.yaml` gives it for pods of that namespace. */
export async function createIdentity(kind: Identity, nodeName: string, namespace: string): Promise<string> {
  // The manifest is written for a node `vk-1` and pods in `default`.
  const manifest = readFileSync(join(environment.root, 'examples/node-rbac.yaml'), 'utf8')
    .replaceAll('vk-1', nodeName)
    .replaceAll('namespace: default', `namespace: ${namespace}`);
  if (kind === 'serviceAccount') {
    await kubectl(['apply', '-f', '-'], manifest);
    const token = await kubectl(['-n', 'interlink', 'create', 'token', nodeName, '--duration=8h']);
    return kubeconfigOf({ token: token.trim() });
  }
  await kubectl(
    ['apply', '-f', '-'],
    JSON.stringify({
      apiVersion: 'rbac.authorization.k8s.io/v1',
      kind: 'RoleBinding',
      metadata: { name: `interlink-node-${nodeName}`, namespace: 'kube-system' },
      roleRef: {
        apiGroup: 'rbac.authorization.k8s.io',
        kind: 'Role',
        name: 'extension-apiserver-authentication-reader',
      },
      subjects: [{ apiGroup: 'rbac.authorization.k8s.io', kind: 'User', name: `system:node:${nodeName}` }],
    }),
  );
  return kubeconfigOf(await nodeCertificate(nodeName));
}

/** A client certificate as a kubelet's, from the cluster's own authority. */
async function nodeCertificate(nodeName: string): Promise<object> {
  await using directory = await mkdtempDisposable(join(tmpdir(), 'interlink-e2e-'));
  const file = (name: string): string => join(directory.path, name);
  const request = await outputOf(
    ['openssl', 'req', '-new', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', file('key'),
      '-subj', `/O=system:nodes/CN=system:node:${nodeName}`], // biome-ignore format: one command
  );
  const certificate = await outputOf(
    ['openssl', 'x509', '-req', '-CA', environment.clusterCa, '-CAkey', environment.clusterCaKey, '-days', '2',
      '-set_serial', String(Date.now())], // biome-ignore format: one command
    { stdin: request },
  );
  return {
    'client-certificate-data': Buffer.from(certificate).toString('base64'),
    'client-key-data': readFileSync(file('key')).toString('base64'),
  };
}

function kubeconfigOf(user: object): string {
  const config = JSON.parse(readFileSync(environment.kubeconfig, 'utf8')) as {
    users: { name: string; user: object }[];
  };
  return JSON.stringify({ ...config, users: config.users.map(({ name }) => ({ name, user })) });
}
