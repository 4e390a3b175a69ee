import { readFileSync } from 'node:fs';
import { networkInterfaces } from 'node:os';

/**
 * The address under which other machines of the site reach this one: the IPv4 address of the interface with the default route, else the first
 * that is not loopback, else an IPv6 one, else 127.0.0.1. Containers share the worker's network, so it is the pod's address too.
 */
export function podAddress(
  interfaces: ReturnType<typeof networkInterfaces> = networkInterfaces(),
  routes: string = readRoutes(),
): string {
  const usable = Object.entries(interfaces).flatMap(([name, addresses]) =>
    (addresses ?? []).filter((entry) => !entry.internal).map(({ address, family }) => ({ name, address, family })),
  );
  const preferred = defaultInterface(routes);
  const v4 = usable.filter(({ family, address }) => family === 'IPv4' && !address.startsWith('169.254.'));
  const v6 = usable.filter(({ family, address }) => family === 'IPv6' && !address.startsWith('fe80:'));
  return (v4.find(({ name }) => name === preferred) ?? v4[0] ?? v6[0])?.address ?? '127.0.0.1';
}

function readRoutes(): string {
  try {
    return readFileSync('/proc/net/route', 'latin1');
  } catch {
    // No such file outside Linux or under a restricted /proc: the order of the interfaces decides.
    return '';
  }
}

/** Interface with the cheapest route to 0.0.0.0. @see proc_net_route in the Linux manual: Iface Destination Gateway Flags RefCnt Use Metric */
function defaultInterface(routes: string): string | undefined {
  return routes
    .split('\n')
    .map((line) => line.trim().split(/\s+/))
    .filter((fields) => fields[1] === '00000000' && fields[7] === '00000000')
    .sort((a, b) => Number(a[6]) - Number(b[6]))[0]?.[0];
}
