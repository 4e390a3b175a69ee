import { InterlinkError } from '../base/errors.ts';
import type { HttpRequest } from '../http/handler.ts';
import type { Principal, TokenVerifier } from '../oauth/token-verifier.ts';
import type { ProxyConfig } from './config.ts';

/** A caller that may call, and the rule that says so. */
export interface Admission {
  readonly principal: Principal;
  readonly rule: string;
}

type IssuerRule = ProxyConfig['issuers'][number];

/** A refusal: whom it was, as far as that is known. */
export class AccessError extends InterlinkError {
  readonly principal: Principal | undefined;

  constructor(kind: 'Forbidden' | 'Unauthenticated' | 'Invalid', code: string, message: string, principal?: Principal) {
    super(kind, message, { code });
    this.principal = principal;
  }
}

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
  throw new AccessError(
    'Forbidden',
    'proxy.access.group',
    `the token of ${principal.subject} is good, but it is in no group that may call here (claim ${config?.groupsClaim})`,
    principal,
  );
}

function bearerToken(request: HttpRequest): string {
  const [scheme = '', token, ...rest] = (request.headers.authorization ?? '').split(' ');
  if (scheme.toLowerCase() !== 'bearer')
    throw new AccessError('Unauthenticated', 'proxy.access.missing', 'a bearer token is needed');
  if (!token || rest.length > 0)
    throw new AccessError('Invalid', 'proxy.access.malformed', 'the Authorization header is not "Bearer <token>"');
  return token;
}

/** Groups are compared whole and to the letter: a child group says nothing of its parent. */
function admittingRule(config: IssuerRule, principal: Principal): string | undefined {
  if (config.allowEverybody) return 'everybody';
  if (config.allowedSubjects?.includes(principal.subject)) return `subject ${principal.subject}`;
  const group = principal.groups.find((name) => config.allowedGroups?.includes(name));
  return group === undefined ? undefined : `group ${group}`;
}
