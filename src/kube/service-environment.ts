import { isIPv6 } from 'node:net';
import type { Service } from './types.ts';

/**
 * Variables that tell a container where the Services are: those of the pod's namespace if `serviceLinks`, and always those of
 * `default/kubernetes`. Services without a cluster IP have none. Sorted by the Service's name.
 *
 * @see https://github.com/kubernetes/kubernetes/blob/v1.36.3/pkg/kubelet/envvars/envvars.go
 */
export function serviceEnvironment(
  services: readonly Service[],
  namespace: string,
  serviceLinks: boolean,
): ReadonlyMap<string, string> {
  const byName = new Map<string, Service>();
  for (const service of services) {
    const { name = '', namespace: own = 'default' } = service.metadata ?? {};
    const address = service.spec?.clusterIP ?? '';
    if (address === '' || address === 'None') continue;
    if (own === namespace && own !== 'default') {
      // A Service `kubernetes` of the pod's own namespace wins over that of the API server.
      if (serviceLinks) byName.set(name, service);
    } else if (own === 'default' && name === 'kubernetes') {
      if (!byName.has(name)) byName.set(name, service);
    } else if (own === namespace && serviceLinks) byName.set(name, service);
  }
  const variables = new Map<string, string>();
  for (const name of [...byName.keys()].sort()) addVariables(variables, name, byName.get(name) as Service);
  return variables;
}

function addVariables(variables: Map<string, string>, name: string, service: Service): void {
  const prefix = variableName(name);
  const address = service.spec?.clusterIP ?? '';
  const host = isIPv6(address) ? `[${address}]` : address;
  const ports = service.spec?.ports ?? [];
  variables.set(`${prefix}_SERVICE_HOST`, address);
  ports.forEach(({ name: portName, port, protocol = 'TCP' }, index) => {
    const url = `${protocol.toLowerCase()}://${host}:${port}`;
    if (index === 0) {
      variables.set(`${prefix}_SERVICE_PORT`, String(port));
      variables.set(`${prefix}_PORT`, url);
    }
    if (portName) variables.set(`${prefix}_SERVICE_PORT_${variableName(portName)}`, String(port));
    const link = `${prefix}_PORT_${port}_${protocol.toUpperCase()}`;
    variables.set(link, url);
    variables.set(`${link}_PROTO`, protocol.toLowerCase());
    variables.set(`${link}_PORT`, String(port));
    variables.set(`${link}_ADDR`, address);
  });
}

function variableName(text: string): string {
  return text.replaceAll('-', '_').toUpperCase();
}
