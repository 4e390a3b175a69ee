import { connect } from 'node:net';
import { outputOf } from './command.ts';
import { kubectl, kubectlJson } from './kubectl.ts';
import type { Program } from './program.ts';
import { until } from './until.ts';

interface NodeView {
  readonly status?: { readonly conditions?: readonly { readonly type: string; readonly status: string }[] };
  readonly spec?: { readonly taints?: readonly { readonly key: string }[] };
}

/** Waits until the scheduler may place pods on the node and its logs can be read, approving the serving certificate that it asks for. */
export function untilNodeReady(
  nodeName: string,
  programs: readonly Program[],
  kubelet: { address: string; port: number },
): Promise<true> {
  return until(
    `node ${nodeName} is Ready`,
    async () => {
      for (const program of programs)
        if (program.pid === undefined) throw new Error(`${program.name} has ended:\n${program.log().slice(-3000)}`);
      await approveServingCertificates(nodeName);
      const text = await kubectl(['get', 'node', nodeName, '--ignore-not-found', '-o', 'json']);
      if (text.trim() === '') return false;
      const { spec, status } = JSON.parse(text) as NodeView;
      const ready = status?.conditions?.some((condition) => condition.type === 'Ready' && condition.status === 'True');
      return (
        ready === true &&
        (await answers(kubelet)) &&
        !spec?.taints?.some(({ key }) => key.startsWith('node.kubernetes.io/'))
      );
    },
    { evidence: () => programs.map((program) => program.log().slice(-2000)) },
  );
}

/** What an administrator of the cluster does once per node: approves the serving certificates that it asks for. */
async function approveServingCertificates(nodeName: string): Promise<void> {
  for (const name of await servingRequestsOf(nodeName)) await kubectl(['certificate', 'approve', name]);
}

/** Names of the requests for serving certificates of that node which nobody has decided. */
export async function servingRequestsOf(nodeName: string): Promise<readonly string[]> {
  const { items } = await kubectlJson<{
    items: { metadata: { name: string }; spec: { signerName: string; request: string }; status?: object }[];
  }>(['get', 'csr']);
  const names: string[] = [];
  for (const { metadata, spec, status } of items) {
    if (spec.signerName !== 'kubernetes.io/kubelet-serving' || Object.keys(status ?? {}).length > 0) continue;
    const request = Buffer.from(spec.request, 'base64').toString();
    const subject = await outputOf(['openssl', 'req', '-noout', '-subject', '-nameopt', 'RFC2253'], { stdin: request });
    if (/CN=(system:node:[^,\s]+)/.exec(subject)?.[1] === `system:node:${nodeName}`) names.push(metadata.name);
  }
  return names;
}

/** Whether somebody listens there. */
function answers(at: { address: string; port: number }): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(at.port, at.address);
    socket.once('connect', () => resolve(true)).once('error', () => resolve(false));
    socket.once('connect', () => socket.destroy());
  });
}
