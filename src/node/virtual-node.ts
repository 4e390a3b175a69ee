import type { Clock } from '../base/clock.ts';
import type { CommandRunner } from '../base/command.ts';
import type { Logger } from '../base/logger.ts';
import { runServices, type Service } from '../base/service.ts';
import type { Sidecar } from '../contract/sidecar.ts';
import { tlsFileSource } from '../http/tls-source.ts';
import { createKubeClient } from '../kube/client.ts';
import { createEventRecorder } from '../kube/event-recorder.ts';
import type { KubeConnection } from '../kube/kube-connection.ts';
import { loadKubeConnection } from '../kube/load-kube-connection.ts';
import { createClientAuthority } from './client-authority.ts';
import type { NodeConfig } from './config.ts';
import { createKubeletApi } from './kubelet-api.ts';
import { createKubeletAuth } from './kubelet-auth.ts';
import { createKubeletServer } from './kubelet-server.ts';
import { createLeaseController } from './lease-controller.ts';
import { createNodeController } from './node-controller.ts';
import { wantedNode } from './node-object.ts';
import { ownAddress } from './own-address.ts';
import { createPodController } from './pod-controller.ts';
import { createServingCertificate } from './serving-certificate.ts';
import { createSiteMonitor } from './site-monitor.ts';
import { createSiteSidecar } from './site-sidecar.ts';

export interface VirtualNodeDeps {
  readonly config: NodeConfig;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Runs credential plugins of a kubeconfig. */
  readonly commands: CommandRunner;
  /** Environment of the process: KUBECONFIG, HOME, the variables of a pod, and what credential plugins need. */
  readonly environment: Readonly<Record<string, string>>;
  /** Version of interlink. */
  readonly version: string;
  /** Architecture that the node shows, as Node names it (`x64`). */
  readonly architecture: string;
  /** The site; made from `config.site` unless given. */
  readonly sidecar?: Sidecar;
}

/**
 * A Kubernetes node whose pods run at a site. Order of the start: pods are cached and the site has been asked once, then the node registers, Ready from
 * its first moment. The kubelet API opens when its certificate is there and keeps nothing else waiting. Ending it leaves the node, its Lease and every pod as they are.
 */
export function createVirtualNode(deps: VirtualNodeDeps): Service {
  const ready = Promise.withResolvers<void>();
  return {
    name: 'virtual node',
    ready: ready.promise,
    async run(signal) {
      const { config, clock, environment, commands } = deps;
      const connection = await loadKubeConnection(
        { clock, commands, environment },
        {
          ...(config.kubeconfig === undefined ? {} : { kubeconfig: config.kubeconfig }),
          allowInsecure: config.insecureKubeconfig,
        },
      );
      if (connection.insecureSkipTlsVerify)
        deps.logger.warn('the API server is not verified', { source: connection.source });
      let internalIP: string;
      try {
        internalIP = config.internalIP ?? (await ownAddress(connection.server, deps, signal));
      } catch (error) {
        if (signal.aborted) return;
        throw error;
      }
      await using sidecar = deps.sidecar ?? createSiteSidecar(config.site, clock);
      await runNode(deps, connection, internalIP, sidecar, ready.resolve, signal);
    },
  };
}

async function runNode(
  deps: VirtualNodeDeps,
  connection: KubeConnection,
  internalIP: string,
  sidecar: Sidecar,
  becomeReady: () => void,
  signal: AbortSignal,
): Promise<void> {
  const { config, clock, version } = deps;
  const nodeName = config.name;
  const logger = deps.logger.child({ node: nodeName });
  const userAgent = `interlink/${version} (node ${nodeName})`;
  const rate = { perSecond: config.apiRequestsPerSecond, burst: config.apiBurst };
  using kube = createKubeClient({ connection, clock, logger, userAgent, rate });
  using leaseKube = createKubeClient({ connection, clock, logger, userAgent: `${userAgent} lease` });
  const parts = { kube, clock, logger };

  const notices = new Map<string, string>();
  const events = createEventRecorder(parts, { component: 'kubelet', host: nodeName });
  const site = createSiteMonitor(
    { sidecar, clock, logger },
    {
      pingIntervalMs: config.site.pingIntervalSeconds * 1_000,
      pingTimeoutMs: config.site.pingTimeoutSeconds * 1_000,
      failureThreshold: config.site.failureThreshold,
    },
  );
  const pods = createPodController({ ...parts, sidecar, events, nodeName, nodeIP: internalIP, node: () => node.node });
  const node = createNodeController(
    {
      ...parts,
      wanted: () =>
        wantedNode({
          name: nodeName,
          labels: config.labels,
          taints: config.taints,
          resources: config.resources,
          internalIP,
          hostname: config.hostname,
          kubeletPort: config.kubelet.port,
          version,
          architecture: deps.architecture,
          site: site.state,
          notice: [...notices.values()].join('; '),
        }),
      mayRegister: Promise.all([pods.ready, site.ready]).then(() => {}),
    },
    { nodeName, statusReportMs: config.statusReportSeconds * 1_000 },
  );
  site.onChange(() => node.changed());
  const lease = createLeaseController(
    { kube: leaseKube, clock, logger, nodeUid: () => node.node?.metadata?.uid },
    { nodeName, durationSeconds: config.leaseDurationSeconds, renewSeconds: config.leaseRenewSeconds },
  );

  /** Shown by `kubectl describe node`, as a condition and as an event. */
  const onNotice = (source: string) => (notice: string) => {
    if ((notices.get(source) ?? '') === notice) return;
    if (notice === '') notices.delete(source);
    else notices.set(source, notice);
    node.changed();
    if (notice === '') return;
    node.ready
      .then(() =>
        events.record({
          involvedObject: { apiVersion: 'v1', kind: 'Node', name: nodeName, uid: node.node?.metadata?.uid ?? nodeName },
          type: 'Warning',
          reason: 'AdministratorNeeded',
          message: notice,
        }),
      )
      .catch(() => {}); // `ready` never rejects; the node's own `run` tells of failures.
  };
  const { certFile, keyFile } = config.kubelet;
  const certificate =
    certFile === undefined || keyFile === undefined
      ? createServingCertificate(parts, {
          nodeName,
          directory: config.stateDirectory,
          names: [internalIP, ...(config.hostname === undefined ? [] : [config.hostname])],
          onNotice: onNotice('certificate'),
        })
      : undefined;
  const authority = createClientAuthority(parts, {
    file: config.kubelet.clientCaFile,
    onNotice: onNotice('client authorities'),
  });
  const kubelet = createKubeletServer(
    {
      clock,
      logger,
      certificate: certificate ?? tlsFileSource({ certFile: certFile ?? '', keyFile: keyFile ?? '' }, clock),
      certificateReady: certificate?.ready ?? Promise.resolve(),
      authority,
      handler: createKubeletApi({
        auth: createKubeletAuth(parts, { nodeName }),
        pods,
        sidecar,
        isHealthy: () => node.node !== undefined,
      }),
    },
    { address: config.kubelet.address, port: config.kubelet.port },
  );

  node.ready.then(becomeReady, () => {});
  await runServices(
    [events, site, pods, node, lease, authority, ...(certificate === undefined ? [] : [certificate]), kubelet],
    signal,
  );
}
