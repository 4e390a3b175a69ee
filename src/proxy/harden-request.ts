import { InterlinkError } from '../base/errors.ts';
import type { HttpRequest } from '../http/handler.ts';

/** Anything but letters, digits and what stands between them in the contract's paths; so no `%`, `#`, `\`, `..`, `//`, NUL or non-ASCII. */
const PLAIN_PATH = /^(\/|(\/[A-Za-z0-9_-]+)+|\/\.well-known\/[A-Za-z0-9_-]+)$/;

/**
 * Refuses a request whose meaning two programs could see differently, before anything is decided about it. The path is matched raw afterwards; headers of the
 * caller other than `Authorization`, `Accept` and the session decide nothing and go nowhere.
 * @throws Invalid naming what is wrong
 */
export function hardenRequest(request: HttpRequest): void {
  if (!PLAIN_PATH.test(request.path)) throw refuse('the path holds characters that no call has');
  if (request.headers.upgrade !== undefined) throw refuse('no call of this kind changes the protocol');
  // A page in somebody's browser must not reach a proxy on that machine.
  if (request.headers.origin !== undefined || request.headers['sec-fetch-site'] !== undefined)
    throw refuse('browsers are not served here');
  if (request.method === 'TRACE') throw refuse('TRACE is not served');
  if (/(^|&)access_token=/i.test(request.query))
    throw refuse('send the token in the Authorization header, not in the URL');
  const credentials = request.rawHeaders.filter((name, index) => index % 2 === 0 && /^authorization$/i.test(name));
  if (credentials.length > 1) throw refuse('there is more than one Authorization header');
}

function refuse(reason: string): InterlinkError {
  return new InterlinkError('Invalid', `request refused: ${reason}`, { code: 'proxy.request' });
}
