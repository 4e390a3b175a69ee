import { getSystemErrorMap } from 'node:util';
import { messageOf, systemCodeOf } from '../base/errors.ts';

/** `host:port`, with brackets around an IPv6 address. */
export function hostPort(host: string, port: number): string {
  return `${host.includes(':') ? `[${host}]` : host}:${port}`;
}

/** Whether the error is about making a connection, and not about what came later. */
export function isDialError(error: unknown): boolean {
  const { syscall } = firstOf(error) as NodeJS.ErrnoException;
  return syscall === 'connect' || syscall === 'getaddrinfo';
}

/** Why no connection could be made, in the words of a kubelet: `dial tcp 10.0.0.1:80: connect: connection refused`. */
export function dialErrorText(error: unknown, host: string, port: number): string {
  const first = firstOf(error);
  if ((first as NodeJS.ErrnoException).syscall === 'getaddrinfo') return `dial tcp: lookup ${host}: no such host`;
  return `dial tcp ${hostPort(host, port)}: connect: ${systemErrorText(first)}`;
}

/** A system's error in its own words: `connection refused`. */
export function systemErrorText(error: unknown): string {
  const code = systemCodeOf(error);
  const known = [...getSystemErrorMap().values()].find(([name]) => name === code);
  return known?.[1] ?? messageOf(error);
}

/** A name with several addresses fails with all their errors. */
function firstOf(error: unknown): unknown {
  return error instanceof AggregateError ? error.errors[0] : error;
}
