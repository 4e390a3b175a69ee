import { join } from 'node:path';
import { environment } from './environment.ts';
import { AUDIENCE, GROUP, type Issuer } from './issuer.ts';

/** A loopback address that neither a pod nor anything else here has, so that it can be told from theirs. */
export const NODE_ADDRESS = '127.0.0.2';

/** What the configuration of a stack is made of. */
export interface StackFacts {
  /** Directory of the site's side, owned by the submitting user. */
  readonly site: string;
  /** Directory of the cluster's side. */
  readonly cluster: string;
  readonly certificate: { readonly certFile: string; readonly keyFile: string };
  readonly issuer: Issuer;
  readonly kubeconfig: string;
  readonly tokenFile: string;
  readonly nodeName: string;
  readonly channel: boolean;
  readonly pollIntervalSeconds: number;
  readonly proxyPort: number;
  readonly kubeletPort: number;
  readonly channelPort: number;
}

/** The configuration file of each part. */
export function sectionsOf(facts: StackFacts): Record<'vk' | 'proxy' | 'sidecar', object> {
  const socket = join(facts.site, 'sidecar', 'sidecar.sock');
  return {
    sidecar: {
      sidecar: {
        stateDirectory: join(facts.site, 'sidecar'),
        listen: `unix:${socket}`,
        pollIntervalSeconds: facts.pollIntervalSeconds,
        channel: facts.channel
          ? { listen: `127.0.0.1:${facts.channelPort}`, advertise: ['127.0.0.1'] }
          : { enabled: false },
        runtime: { name: 'apptainer', imageMap: { 'localhost/busybox': environment.imageSif } },
        slurm: { environment: { SLURM_CONF: environment.slurmConf } },
      },
    },
    proxy: {
      proxy: {
        listen: `https://127.0.0.1:${facts.proxyPort}`,
        ...facts.certificate,
        issuers: [
          { issuer: facts.issuer.url, caFile: facts.issuer.caFile, audiences: [AUDIENCE], allowedGroups: [GROUP] },
        ],
        sidecars: [{ name: 'slurm', url: `unix:${socket}` }],
        stateDirectory: join(facts.site, 'proxy'),
        auditFile: join(facts.site, 'audit.log'),
      },
    },
    vk: {
      node: {
        name: facts.nodeName,
        kubeconfig: facts.kubeconfig,
        stateDirectory: join(facts.cluster, 'state'),
        internalIP: NODE_ADDRESS,
        site: {
          url: `https://127.0.0.1:${facts.proxyPort}`,
          tokenFile: facts.tokenFile,
          caFile: facts.certificate.certFile,
          pingIntervalSeconds: 2,
        },
        kubelet: { address: NODE_ADDRESS, port: facts.kubeletPort },
      },
    },
  };
}
