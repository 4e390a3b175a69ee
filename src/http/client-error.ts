import { codeOf, InterlinkError, messageOf, systemCodeOf } from '../base/errors.ts';

/** What each code of undici, the sockets and TLS means to the person who reads the message. */
const TIMEOUTS: Readonly<Record<string, string>> = {
  ETIMEDOUT: 'did not accept the connection in time; check the address and the firewall',
  UND_ERR_CONNECT_TIMEOUT: 'did not accept the connection in time; check the address and the firewall',
  UND_ERR_HEADERS_TIMEOUT: 'did not answer in time',
  UND_ERR_BODY_TIMEOUT: 'fell silent in the middle of its answer',
};

const FAILURES: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'refuses connections; is it running?',
  ENOENT: 'does not exist; is the server running?',
  EACCES: 'may not be used by this user; check the permissions of the socket',
  ENOTFOUND: 'its host name is not known; check the name',
  EAI_AGAIN: 'its host name cannot be looked up now; check the DNS',
  EHOSTUNREACH: 'cannot be reached: no route to the host',
  ENETUNREACH: 'cannot be reached: no route to the network',
  ECONNRESET: 'broke the connection off',
  EPIPE: 'broke the connection off',
  UND_ERR_SOCKET: 'broke the connection off',
  CERT_HAS_EXPIRED: 'its certificate has expired',
  DEPTH_ZERO_SELF_SIGNED_CERT: 'its certificate is self-signed; set the CA file or the fingerprint',
  SELF_SIGNED_CERT_IN_CHAIN: 'its certificate comes from an unknown authority; set the CA file',
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: 'its certificate comes from an unknown authority; set the CA file',
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: 'its certificate comes from an unknown authority; set the CA file',
};

/** Errors after which the server has certainly not begun to work on the request. */
const NOT_SENT = new Set(['ECONNREFUSED', 'ENOENT', 'EACCES', 'ENOTFOUND', 'EAI_AGAIN', 'EHOSTUNREACH', 'ENETUNREACH']);

/**
 * The error of a call to `where`: DeadlineExceeded for time-outs, else Unavailable. `code` is `http.client.timeout`, `http.client.unsent` when the server cannot have
 * seen the request, or `http.client.broken` when it may have. Errors that are ours already stay as they are.
 */
export function describeClientError(error: unknown, where: string, connectTimeoutMs?: number): Error {
  if (error instanceof Error && codeOf(error) !== 'internal') return error;
  const inner = rootOf(error);
  const code = systemCodeOf(inner) ?? '';
  const timeout = TIMEOUTS[code];
  if (timeout !== undefined) {
    const limit = code === 'ETIMEDOUT' && connectTimeoutMs !== undefined ? ` (${connectTimeoutMs} ms)` : '';
    return new InterlinkError('DeadlineExceeded', `${where}: ${timeout}${limit}`, {
      code: 'http.client.timeout',
      cause: error,
    });
  }
  const reason = FAILURES[code] ?? messageOf(inner);
  return new InterlinkError('Unavailable', `${where}: ${reason}`, {
    code: NOT_SENT.has(code) ? 'http.client.unsent' : 'http.client.broken',
    cause: error,
  });
}

/** Connecting to a name with several addresses gives an AggregateError whose members hold the cause; undici wraps too. */
function rootOf(error: unknown): unknown {
  if (error instanceof AggregateError && error.errors.length > 0) return rootOf(error.errors[0]);
  if (error instanceof Error && error.cause instanceof Error && systemCodeOf(error.cause) !== undefined)
    return rootOf(error.cause);
  return error;
}
