import { join } from 'node:path';
import { environment } from './environment.ts';
import { AUDIENCE, GROUP, type Issuer } from './issuer.ts';

/** A loopback address that neither a pod nor anything else here has, so that it can be told from theirs. */
export const NODE_ADDRESS = '127.0.0.2';

/** Where the pods of a stack run. */
export type Site = 'slurm' | 'local';

/** Where tests of every site run; `INTERLINK_E2E_SITES=local` leaves the others out. */
export const SITES: readonly Site[] = (['slurm', 'local'] as const).filter(
  (site) => process.env.INTERLINK_E2E_SITES?.split(',').includes(site) ?? true,
);

/** What the configuration of a stack is made of. */
export interface StackFacts {
  readonly kind: Site;
  /** Cgroup that belongs to the submitting user, where the machine can have one. */
  readonly cgroup: string | undefined;
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
  /** Further keys of the sidecar. */
  readonly sidecar: object;
  readonly proxyPort: number;
  readonly kubeletPort: number;
  readonly channelPort: number;
}

const SLURM = { slurm: { environment: { SLURM_CONF: environment.slurmConf } } };

/** As much as the pretended cluster has, so that the same pods fit. */
function localOf({ cgroup }: StackFacts): object {
  return { local: { maxPods: 110, cpus: 256, memoryMiB: 256_000, ...(cgroup !== undefined && { cgroup }) } };
}

/** Runners of `local` are on the sidecar's machine, where a unix socket is the way. */
function channelOf({ kind, channelPort }: StackFacts): object {
  return kind === 'local' ? {} : { listen: `127.0.0.1:${channelPort}`, advertise: ['127.0.0.1'] };
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
        channel: facts.channel ? channelOf(facts) : { enabled: false },
        runtime: { name: 'apptainer', imageMap: { 'localhost/busybox': environment.imageSif } },
        ...(facts.kind === 'slurm' ? SLURM : localOf(facts)),
        ...facts.sidecar,
      },
    },
    proxy: {
      proxy: {
        listen: `https://127.0.0.1:${facts.proxyPort}`,
        ...facts.certificate,
        issuers: [
          { issuer: facts.issuer.url, caFile: facts.issuer.caFile, audiences: [AUDIENCE], allowedGroups: [GROUP] },
        ],
        sidecars: [{ name: facts.kind, url: `unix:${socket}` }],
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
