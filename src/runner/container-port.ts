import { InterlinkError } from '../base/errors.ts';
import type { Container } from '../kube/types.ts';

/**
 * The port that a probe or a hook means: a number, the name of one of the container's ports, or a number written as text.
 * @throws Invalid, with the words of a kubelet, for a name that no port has and a number that is none.
 */
export function containerPort(port: number | string, { ports = [] }: Pick<Container, 'ports'>): number {
  const found = typeof port === 'number' ? port : ports.find(({ name }) => name === port)?.containerPort;
  const number = found ?? (/^[+-]?\d+$/.test(String(port)) ? Number(port) : undefined);
  if (number === undefined)
    throw new InterlinkError('Invalid', `strconv.Atoi: parsing ${JSON.stringify(port)}: invalid syntax`, {
      code: 'probe.port',
    });
  if (number < 1 || number > 65_535)
    throw new InterlinkError('Invalid', `invalid port number: ${number}`, { code: 'probe.port' });
  return number;
}
