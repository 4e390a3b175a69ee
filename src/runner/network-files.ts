import { InterlinkError } from '../base/errors.ts';
import type { Pod } from '../kube/types.ts';

/** What the pod is called, and the files in `/etc` that say so. */
export interface NetworkFiles {
  readonly hostname: string;
  readonly hosts: string;
  readonly hostnameFile: string;
  readonly resolvConf: string;
}

/** What the worker says of itself. */
export interface WorkerNetwork {
  readonly podIP: string;
  readonly hostname: string;
  /** `/etc/hosts` of the worker. */
  readonly hosts: string;
  /** `/etc/resolv.conf` of the worker. */
  readonly resolvConf: string;
}

const MAX_HOSTNAME = 63;
const MAX_FQDN = 64;
const MAX_NAMESERVERS = 3;
const MAX_SEARCHES = 32;

/**
 * Host name, hosts and resolver files as a kubelet without a cluster domain writes them. `ClusterFirst` means the worker's resolver here, as on a kubelet
 * that has no cluster DNS.
 *
 * @throws Invalid when `setHostnameAsFQDN` gives a name over 64 characters
 * @see https://github.com/kubernetes/kubernetes/blob/v1.36.3/pkg/kubelet/kubelet_pods.go ensureHostsFile, GeneratePodHostNameAndDomain
 */
export function networkFiles(pod: Pod, worker: WorkerNetwork): NetworkFiles {
  const { metadata, spec } = pod;
  const override = (spec as { hostnameOverride?: string } | undefined)?.hostnameOverride;
  const short = override || spec?.hostname || (metadata?.name ?? '').slice(0, MAX_HOSTNAME).replace(/[-.]+$/, '');
  const domain = spec?.subdomain && !override ? `${spec.subdomain}.${metadata?.namespace ?? 'default'}.svc.` : '';
  const fqdn = domain === '' ? short : `${short}.${domain}`;
  if (spec?.setHostnameAsFQDN && fqdn.length > MAX_FQDN)
    throw new InterlinkError(
      'Invalid',
      `failed to construct FQDN from pod hostname and cluster domain, FQDN ${fqdn} is too long`,
    );
  const podHostname = spec?.setHostnameAsFQDN ? fqdn : short;
  const hostname = spec?.hostNetwork ? worker.hostname : podHostname;
  const own = domain === '' ? short : `${fqdn}\t${short}`;
  const hosts = spec?.hostNetwork
    ? `# Kubernetes-managed hosts file (host network).\n${worker.hosts}`
    : [
        '# Kubernetes-managed hosts file.',
        '127.0.0.1\tlocalhost',
        '::1\tlocalhost ip6-localhost ip6-loopback',
        'fe00::0\tip6-localnet',
        'fe00::0\tip6-mcastprefix',
        'fe00::1\tip6-allnodes',
        'fe00::2\tip6-allrouters',
        `${worker.podIP}\t${own}`,
        '',
      ].join('\n');
  return {
    hostname,
    hosts: hosts + aliases(pod),
    hostnameFile: `${hostname}\n`,
    resolvConf: resolvConf(pod, worker.resolvConf),
  };
}

function aliases({ spec }: Pod): string {
  const entries = spec?.hostAliases ?? [];
  if (entries.length === 0) return '';
  const lines = entries.map(({ ip, hostnames }) => `${ip}\t${(hostnames ?? []).join('\t')}\n`);
  return `\n# Entries added by HostAliases.\n${lines.join('')}`;
}

function resolvConf({ spec }: Pod, ofWorker: string): string {
  const { dnsPolicy, dnsConfig } = spec ?? {};
  if (dnsPolicy !== 'None' && dnsConfig === undefined) return ofWorker;
  const base = dnsPolicy === 'None' ? { nameservers: [], searches: [], options: [] } : parseResolvConf(ofWorker);
  const nameservers = unique([...base.nameservers, ...(dnsConfig?.nameservers ?? [])]).slice(0, MAX_NAMESERVERS);
  const searches = unique([...base.searches, ...(dnsConfig?.searches ?? [])]).slice(0, MAX_SEARCHES);
  const options = new Map(base.options.map((text) => [text.split(':')[0] ?? text, text]));
  for (const { name = '', value } of dnsConfig?.options ?? []) options.set(name, value ? `${name}:${value}` : name);
  return [
    ...(searches.length > 0 ? [`search ${searches.join(' ')}`] : []),
    ...nameservers.map((address) => `nameserver ${address}`),
    ...(options.size > 0 ? [`options ${[...options.values()].join(' ')}`] : []),
    '',
  ].join('\n');
}

interface ResolvConf {
  readonly nameservers: readonly string[];
  readonly searches: readonly string[];
  readonly options: readonly string[];
}

/** The last `search` or `domain` line counts. @see resolv.conf(5) */
function parseResolvConf(text: string): ResolvConf {
  const lines = text.split('\n').map((line) =>
    line
      .replace(/[#;].*$/, '')
      .trim()
      .split(/\s+/),
  );
  const of = (keyword: string): string[][] => lines.filter(([first]) => first === keyword).map(([, ...rest]) => rest);
  return {
    nameservers: of('nameserver').map(([address = '']) => address),
    searches: lines.findLast(([first]) => first === 'search' || first === 'domain')?.slice(1) ?? [],
    options: of('options').flat(),
  };
}

function unique(values: readonly string[]): string[] {
  return [...new Set(values)];
}
