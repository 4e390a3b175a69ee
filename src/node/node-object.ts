import { createHash } from 'node:crypto';
import type { Node, NodeCondition, Taint } from '../kube/types.ts';
import type { SiteState } from './site-monitor.ts';

/** What a Node object is made of. */
export interface NodeFacts {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  /** `key=value:Effect`. */
  readonly taints: readonly string[];
  /** Capacity that wins over the site's. */
  readonly resources: Readonly<Record<string, string>>;
  readonly internalIP: string;
  readonly hostname: string | undefined;
  readonly kubeletPort: number;
  /** Version of interlink. */
  readonly version: string;
  readonly architecture: string;
  readonly site: SiteState;
  /** Something that an administrator has to do, added to the message of Ready; empty when there is nothing. */
  readonly notice: string;
}

/** A condition without its times. */
export type WantedCondition = Pick<NodeCondition, 'type' | 'status'> & {
  readonly reason: string;
  readonly message: string;
};

/** How the Node shall be. What others wrote beside it stays. */
export interface WantedNode {
  readonly labels: Readonly<Record<string, string>>;
  readonly taints: readonly Taint[];
  /** Capacity and allocatable. */
  readonly resources: Readonly<Record<string, string>>;
  readonly conditions: readonly WantedCondition[];
  readonly addresses: readonly { readonly type: string; readonly address: string }[];
  readonly kubeletPort: number;
  readonly nodeInfo: NonNullable<NonNullable<Node['status']>['nodeInfo']>;
}

/** The Kubernetes whose kubelet this node behaves like; tools compare it with the server's version. */
const KUBELET_VERSION = 'v1.36.0';
/** Pods that a node may hold when neither the site nor the configuration says. */
const PODS = '1000';
const SITE_TAINT: Taint = { key: 'virtual-node.interlink/site-unreachable', value: 'true', effect: 'NoSchedule' };

/** Pure: the same facts give the same Node. */
export function wantedNode(facts: NodeFacts): WantedNode {
  const { name, site, hostname, internalIP } = facts;
  const unreachable = site.connection === 'unreachable';
  const taints = [...facts.taints.map(parseTaint), ...(site.offer.taints ?? []), ...(unreachable ? [SITE_TAINT] : [])];
  return {
    labels: {
      'kubernetes.io/os': 'linux',
      'kubernetes.io/arch': goArchitecture(facts.architecture),
      'kubernetes.io/hostname': name,
      type: 'virtual-kubelet',
      'virtual-node.interlink/type': 'virtual-kubelet',
      // Load balancers of clouds would send traffic to every node.
      'node.kubernetes.io/exclude-from-external-load-balancers': 'true',
      ...facts.labels,
    },
    taints: [...new Map(taints.map((taint) => [`${taint.key}:${taint.effect}`, taint])).values()],
    resources: { pods: PODS, ...site.offer.resources, ...facts.resources },
    conditions: [
      condition('Ready', 'True', 'KubeletReady', ['interlink is ready', facts.notice].filter(Boolean).join('; ')),
      condition('MemoryPressure', 'False', 'KubeletHasSufficientMemory', 'kubelet has sufficient memory available'),
      condition('DiskPressure', 'False', 'KubeletHasNoDiskPressure', 'kubelet has no disk pressure'),
      condition('PIDPressure', 'False', 'KubeletHasSufficientPID', 'kubelet has sufficient PID available'),
      // The control plane turns it into a NoSchedule taint, also where this node may not change its own taints.
      unreachable
        ? condition('NetworkUnavailable', 'True', 'SiteUnreachable', `the site cannot be reached: ${site.problem}`)
        : condition('NetworkUnavailable', 'False', 'SiteReachable', 'no network problem is known'),
      connectivity(site),
    ],
    addresses: [
      { type: 'InternalIP', address: internalIP },
      ...(hostname === undefined ? [] : [{ type: 'Hostname', address: hostname }]),
    ],
    kubeletPort: facts.kubeletPort,
    nodeInfo: {
      architecture: goArchitecture(facts.architecture),
      operatingSystem: 'linux',
      kubeletVersion: `${KUBELET_VERSION}+interlink.${facts.version}`,
      kubeProxyVersion: '',
      containerRuntimeVersion: `interlink://${facts.version}`,
      kernelVersion: '',
      osImage: 'interlink virtual node',
      // There is no machine: an identity that stays the same over restarts.
      machineID: createHash('sha256').update(name).digest('hex').slice(0, 32),
      systemUUID: '',
      bootID: '',
    },
  };
}

function connectivity(site: SiteState): WantedCondition {
  const type = 'InterlinkConnectivity';
  switch (site.connection) {
    case 'reachable':
      return condition(type, 'True', 'InterlinkPingSuccessful', 'the site answers');
    case 'unreachable':
      return condition(type, 'False', 'InterlinkPingFailed', site.problem);
    case 'unknown':
      return condition(type, 'Unknown', 'InterlinkPingPending', 'the site has not answered yet');
  }
}

function condition(
  type: string,
  status: 'True' | 'False' | 'Unknown',
  reason: string,
  message: string,
): WantedCondition {
  return { type, status, reason, message };
}

function parseTaint(text: string): Taint {
  const [, key = '', value = '', effect = ''] = /^([^=:]+)=?([^:]*):(.+)$/.exec(text) ?? [];
  return { key, ...(value === '' ? {} : { value }), effect };
}

function goArchitecture(architecture: string): string {
  const names: Readonly<Record<string, string>> = { x64: 'amd64', ia32: '386', ppc64: 'ppc64le' };
  return names[architecture] ?? architecture;
}
