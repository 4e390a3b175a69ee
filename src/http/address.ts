import { InterlinkError } from '../base/errors.ts';

/** Where something listens or is reached. */
export type Address =
  | { readonly kind: 'unix'; readonly path: string }
  | { readonly kind: 'tcp'; readonly tls: boolean; readonly host: string; readonly port: number };

/** Linux takes 108 bytes, but programs that want a NUL at the end only 107. */
const MAX_SOCKET_PATH_BYTES = 107;

/**
 * Reads `unix:/path`, `unix:///path`, `http://host[:port]` or `https://host[:port]`.
 * @throws Invalid naming what is wrong with it.
 */
export function parseAddress(text: string): Address {
  const refuse = (reason: string): never => {
    throw new InterlinkError(
      'Invalid',
      `address ${JSON.stringify(text)}: ${reason}; write unix:/path, http://host:port or https://host:port`,
      { code: 'address.invalid' },
    );
  };
  if (text.startsWith('unix:')) {
    const rest = text.slice('unix:'.length);
    const path = rest.startsWith('//') ? rest.slice(2) : rest;
    if (!path.startsWith('/') || path.includes('\0')) refuse('the path of a unix socket must be absolute');
    const length = Buffer.byteLength(path);
    if (length > MAX_SOCKET_PATH_BYTES)
      refuse(`the path has ${length} bytes, a unix socket takes ${MAX_SOCKET_PATH_BYTES}`);
    return { kind: 'unix', path };
  }
  if (!/^https?:\/\//.test(text)) refuse('unknown scheme');
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    return refuse('no valid URL');
  }
  if (url.username !== '' || url.password !== '') refuse('it must not hold credentials');
  if (url.pathname !== '/' || url.search !== '' || url.hash !== '') refuse('it must end after the port');
  const tls = url.protocol === 'https:';
  return {
    kind: 'tcp',
    tls,
    host: url.hostname.replace(/^\[(.*)\]$/, '$1'),
    port: url.port === '' ? (tls ? 443 : 80) : Number(url.port),
  };
}

/** The text that {@link parseAddress} reads back. */
export function renderAddress(address: Address): string {
  if (address.kind === 'unix') return `unix:${address.path}`;
  const host = address.host.includes(':') ? `[${address.host}]` : address.host;
  return `${address.tls ? 'https' : 'http'}://${host}:${address.port}`;
}

/** Whether only processes of this machine can reach it. Names other than `localhost` do not count, as they may resolve to anything. */
export function isLocalAddress(address: Address): boolean {
  if (address.kind === 'unix') return true;
  return address.host === 'localhost' || address.host === '::1' || /^127(\.\d{1,3}){3}$/.test(address.host);
}
