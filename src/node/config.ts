import { isIP } from 'node:net';
import { z } from 'zod';

const DNS_SUBDOMAIN = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/;
const TAINT =
  /^([a-z0-9.-]+\/)?[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?(=[A-Za-z0-9._-]*)?:(NoSchedule|PreferNoSchedule|NoExecute)$/;
const QUANTITY = /^(\d+(\.\d*)?|\.\d+)([numkMGTPE]|[KMGTPE]i|[eE][+-]?\d+)?$/;

const path = z.string().min(1);
const seconds = z.number().int().positive();

function bothOrNeither(files: {
  readonly certFile?: string | undefined;
  readonly keyFile?: string | undefined;
}): boolean {
  return (files.certFile === undefined) === (files.keyFile === undefined);
}

/** The one taint that keeps pods away which were not meant for a virtual node. */
export const DEFAULT_TAINT = 'virtual-node.interlink/no-schedule=true:NoSchedule';

/** Section `node` of the configuration. */
export const nodeConfig = z.strictObject({
  name: z
    .string()
    .max(63)
    .regex(DNS_SUBDOMAIN, 'expected a node name: lower-case letters, digits, - and .')
    .describe('Name of the Node object.'),
  kubeconfig: path
    .optional()
    .describe('File that says which cluster; otherwise KUBECONFIG, the service account of the pod, ~/.kube/config.'),
  insecureKubeconfig: z
    .boolean()
    .default(false)
    .describe('Accept a kubeconfig that does not verify the API server. Anybody in between can then read Secrets.'),
  stateDirectory: path
    .default('/var/lib/interlink/node')
    .describe('Where the serving certificate and its key are kept.'),
  internalIP: z
    .string()
    .refine((text) => isIP(text) !== 0, 'expected an IP address')
    .optional()
    .describe('Address where the API server reaches the kubelet port; otherwise the one used to reach the API server.'),
  hostname: z
    .string()
    .regex(DNS_SUBDOMAIN, 'expected a DNS name')
    .optional()
    .describe(
      'DNS name of this machine. The API server prefers it to the address, so set it only if it resolves there.',
    ),
  labels: z.record(z.string(), z.string()).default({}).describe('Labels of the Node beside the standard ones.'),
  taints: z
    .array(z.string().regex(TAINT, 'expected key=value:Effect with NoSchedule, PreferNoSchedule or NoExecute'))
    .default([DEFAULT_TAINT])
    .describe('Taints of the Node, spelled as in `kubectl taint`.'),
  resources: z
    .record(z.string(), z.string().regex(QUANTITY, 'expected a quantity such as 64, 500m or 256Gi'))
    .default({})
    .describe('Capacity that overrides what the site says, by resource name: cpu, memory, pods, nvidia.com/gpu …'),
  site: z
    .strictObject({
      url: z
        .string()
        .regex(/^(https?:\/\/|unix:\/)/, 'expected https://host:port, http://host:port or unix:/path')
        .describe('Proxy or sidecar of the site.'),
      protocol: z
        .enum(['api', 'plugin'])
        .default('api')
        .describe('api for a proxy, an API server or a sidecar of interlink; plugin for a plugin of another make.'),
      tokenFile: path.optional().describe('File with the bearer token, read anew for each call.'),
      caFile: path.optional().describe('Authorities of the site in PEM; the public ones unless given.'),
      certFile: path.optional().describe('Client certificate in PEM.'),
      keyFile: path.optional().describe('Key of the client certificate.'),
      pingIntervalSeconds: seconds.default(10).describe('Time between two looks at the site.'),
      pingTimeoutSeconds: seconds.default(10).describe('Longest wait for the answer.'),
      failureThreshold: z
        .number()
        .int()
        .positive()
        .default(3)
        .describe('Failures in a row after which no new pods are placed here. Running pods are left alone.'),
    })
    .refine(bothOrNeither, { path: ['keyFile'], message: 'certFile and keyFile are needed together' })
    .describe('Where the pods run.'),
  kubelet: z
    .strictObject({
      address: z.string().min(1).default('0.0.0.0').describe('Address to listen on.'),
      port: z.number().int().min(0).max(65_535).default(10_250).describe('Port of the kubelet API.'),
      certFile: path
        .optional()
        .describe('Serving certificate in PEM; otherwise one is asked of the cluster (kubernetes.io/kubelet-serving).'),
      keyFile: path.optional().describe('Key of the serving certificate.'),
      clientCaFile: path
        .optional()
        .describe(
          'Authorities of client certificates; otherwise those of the cluster (extension-apiserver-authentication).',
        ),
    })
    .refine(bothOrNeither, { path: ['keyFile'], message: 'certFile and keyFile are needed together' })
    .prefault({})
    .describe('The API that `kubectl logs` uses.'),
  leaseDurationSeconds: seconds.default(40).describe('After this time without a sign of life the node counts as lost.'),
  leaseRenewSeconds: seconds.default(10).describe('Time between two signs of life.'),
  statusReportSeconds: seconds.default(300).describe('The node status is written when it changes, and this often.'),
  apiRequestsPerSecond: seconds.default(200).describe('Requests to the API server, on average.'),
  apiBurst: seconds.default(400).describe('Requests to the API server at once after a quiet time.'),
});

/** The parsed section. */
export type NodeConfig = z.output<typeof nodeConfig>;
