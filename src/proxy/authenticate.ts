import { codeOf, InterlinkError } from '../base/errors.ts';
import type { HttpRequest } from '../http/handler.ts';
import type { Principal, TokenVerifier } from '../oauth/token-verifier.ts';
import type { ProxyConfig } from './config.ts';

/** A caller that may call, and the rule that says so. */
export interface Admission {
  readonly principal: Principal;
  readonly rule: string;
}

const NOT_ADMITTED = 'proxy.access.group';

type IssuerRule = ProxyConfig['issuers'][number];

/**
 * The caller of a request, by its bearer token.
 * @throws Unauthenticated without or with a bad token, Invalid for a malformed header, Forbidden when no rule lets the caller in; Unavailable while the
 * issuer's keys cannot be had.
 */
export async function authenticate(
  request: HttpRequest,
  verifier: TokenVerifier,
  issuers: readonly IssuerRule[],
): Promise<Admission> {
  const principal = await verifier.verify(bearerToken(request));
  const config = issuers.find(({ issuer }) => issuer === principal.issuer);
  const rule = config && admittingRule(config, principal);
  if (rule) return { principal, rule };
  throw new InterlinkError(
    'Forbidden',
    `the token of ${principal.subject} is good, but it is in no group that may call here (claim ${config?.groupsClaim})`,
    { code: NOT_ADMITTED, details: { principal } },
  );
}

/** Who it was that {@link authenticate} knows but does not let in; undefined for its other errors. */
export function refusedPrincipal(error: unknown): Principal | undefined {
  if (codeOf(error) !== NOT_ADMITTED) return undefined;
  return (error as InterlinkError).details.principal as Principal;
}

function bearerToken(request: HttpRequest): string {
  const [scheme = '', token, ...rest] = (request.headers.authorization ?? '').split(' ');
  if (scheme.toLowerCase() !== 'bearer')
    throw new InterlinkError('Unauthenticated', 'a bearer token is needed', { code: 'proxy.access.missing' });
  if (!token || rest.length > 0)
    throw new InterlinkError('Invalid', 'the Authorization header is not "Bearer <token>"', {
      code: 'proxy.access.malformed',
    });
  return token;
}

/** Groups are compared whole and to the letter: a child group says nothing of its parent. */
function admittingRule(config: IssuerRule, principal: Principal): string | undefined {
  if (config.allowEverybody) return 'everybody';
  if (config.allowedSubjects?.includes(principal.subject)) return `subject ${principal.subject}`;
  const group = principal.groups.find((name) => config.allowedGroups?.includes(name));
  return group === undefined ? undefined : `group ${group}`;
}
