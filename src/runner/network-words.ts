import { messageOf, systemCodeOf } from '../base/errors.ts';

/** Why a registry could not be asked, as Go's network library says it, which is what people look for. */
export function networkWords(error: unknown, url: URL): string {
  const [first = error] = error instanceof AggregateError ? error.errors : [error];
  const { address, port } = first as { address?: string; port?: number };
  const host = address === undefined ? url.host : `${address.includes(':') ? `[${address}]` : address}:${port}`;
  switch (systemCodeOf(first)) {
    case 'ECONNREFUSED':
      return `dial tcp ${host}: connect: connection refused`;
    case 'EHOSTUNREACH':
      return `dial tcp ${host}: connect: no route to host`;
    case 'ENETUNREACH':
      return `dial tcp ${host}: connect: network is unreachable`;
    case 'ENOTFOUND':
      return `dial tcp: lookup ${url.hostname}: no such host`;
    case 'EAI_AGAIN':
      return `dial tcp: lookup ${url.hostname}: temporary failure in name resolution`;
    case 'UND_ERR_CONNECT_TIMEOUT':
    case 'ETIMEDOUT':
      return `dial tcp ${host}: i/o timeout`;
    default:
      return messageOf(first);
  }
}
