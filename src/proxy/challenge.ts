import { type InterlinkError, isKind } from '../base/errors.ts';
import { errorResponse } from '../http/error-response.ts';
import type { ErrorRenderer } from '../http/handler.ts';

const REALM = 'Bearer realm="interlink"';

/**
 * Error answers with the `WWW-Authenticate` of RFC 6750 §3: none of its codes when there was no token at all. `metadataUrl` is where the resource describes
 * itself (RFC 9728 §5.1).
 */
export function challengingErrors(metadataUrl: string | undefined): ErrorRenderer {
  return (error, request) => {
    const answer = errorResponse(error, request);
    const code = oauthErrorOf(error);
    if (code === undefined) return answer;
    const parts = [
      REALM,
      ...(code === '' ? [] : [`error="${code}"`, `error_description="${quotable((error as Error).message)}"`]),
      ...(metadataUrl === undefined ? [] : [`resource_metadata="${metadataUrl}"`]),
    ];
    return { ...answer, headers: { ...answer.headers, 'www-authenticate': parts.join(', ') } };
  };
}

/** The code of RFC 6750 §3.1, empty where none may be sent, undefined for errors that are not about access. */
function oauthErrorOf(error: unknown): string | undefined {
  if (!isKind(error, 'Unauthenticated', 'Forbidden', 'Invalid')) return undefined;
  const { code } = error as InterlinkError;
  if (code === 'proxy.access.missing') return '';
  if (code === 'proxy.access.malformed') return 'invalid_request';
  if (code === 'proxy.access.group') return 'insufficient_scope';
  return code.startsWith('oauth.token.') ? 'invalid_token' : undefined;
}

/** What RFC 6750 allows within the quotes of a description. */
function quotable(text: string): string {
  return text.replace(/["\\]/g, "'").replace(/[^\x20-\x7e]/g, '?');
}
