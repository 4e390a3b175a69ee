import { describe, expect, it } from 'vitest';
import { serviceEnvironment } from '../../../src/kube/service-environment.ts';
import type { Service } from '../../../src/kube/types.ts';

const service = (namespace: string, name: string, clusterIP: string, ports: unknown[] = [{ port: 80 }]): Service =>
  ({ metadata: { namespace, name }, spec: { clusterIP, ports } }) as Service;

const api = service('default', 'kubernetes', '10.96.0.1', [{ name: 'https', port: 443, protocol: 'TCP' }]);

describe('serviceEnvironment', () => {
  it('gives the variables of parity case 072', () => {
    const db = service('ns', 'my-db', '10.96.0.9', [
      { name: 'main-port', port: 5432 },
      { name: 'web', port: 80, protocol: 'TCP' },
      { name: 'udp', port: 53, protocol: 'UDP' },
    ]);
    const variables = serviceEnvironment([db], 'ns', true);
    expect([...variables].map(([name, value]) => `${name}=${value}`).sort()).toEqual([
      'MY_DB_PORT=tcp://10.96.0.9:5432',
      'MY_DB_PORT_53_UDP=udp://10.96.0.9:53',
      'MY_DB_PORT_53_UDP_ADDR=10.96.0.9',
      'MY_DB_PORT_53_UDP_PORT=53',
      'MY_DB_PORT_53_UDP_PROTO=udp',
      'MY_DB_PORT_5432_TCP=tcp://10.96.0.9:5432',
      'MY_DB_PORT_5432_TCP_ADDR=10.96.0.9',
      'MY_DB_PORT_5432_TCP_PORT=5432',
      'MY_DB_PORT_5432_TCP_PROTO=tcp',
      'MY_DB_PORT_80_TCP=tcp://10.96.0.9:80',
      'MY_DB_PORT_80_TCP_ADDR=10.96.0.9',
      'MY_DB_PORT_80_TCP_PORT=80',
      'MY_DB_PORT_80_TCP_PROTO=tcp',
      'MY_DB_SERVICE_HOST=10.96.0.9',
      'MY_DB_SERVICE_PORT=5432',
      'MY_DB_SERVICE_PORT_MAIN_PORT=5432',
      'MY_DB_SERVICE_PORT_UDP=53',
      'MY_DB_SERVICE_PORT_WEB=80',
    ]);
  });

  it('leaves only the API server without service links', () => {
    const names = [...serviceEnvironment([api, service('ns', 'a', '10.96.0.2')], 'ns', false).keys()];
    expect(names.every((name) => name.startsWith('KUBERNETES_'))).toBe(true);
    expect(names).toContain('KUBERNETES_SERVICE_PORT_HTTPS');
  });

  it('leaves out other namespaces and Services without an address', () => {
    const services = [service('other', 'a', '10.96.0.2'), service('ns', 'b', 'None'), service('ns', 'c', '')];
    expect(serviceEnvironment(services, 'ns', true).size).toBe(0);
  });

  it('prefers a Service kubernetes of the own namespace, in whatever order they come', () => {
    const own = service('ns', 'kubernetes', '10.96.0.3');
    for (const services of [
      [api, own],
      [own, api],
    ])
      expect(serviceEnvironment(services, 'ns', true).get('KUBERNETES_SERVICE_HOST')).toBe('10.96.0.3');
    expect(serviceEnvironment([own, api], 'ns', false).get('KUBERNETES_SERVICE_HOST')).toBe('10.96.0.1');
  });

  it('puts an IPv6 address in brackets where a port follows', () => {
    const variables = serviceEnvironment([service('ns', 'six', 'fd00::1')], 'ns', true);
    expect(variables.get('SIX_PORT')).toBe('tcp://[fd00::1]:80');
    expect(variables.get('SIX_SERVICE_HOST')).toBe('fd00::1');
  });
});
