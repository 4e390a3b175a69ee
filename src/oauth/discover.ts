import { InterlinkError, isKind } from '../base/errors.ts';
import { type FetchJsonOptions, fetchJson } from './fetch-json.ts';

/** What an issuer says about itself, as far as it is used. */
export interface IssuerMetadata {
  readonly issuer: string;
  readonly jwksUri: string;
}

/**
 * The issuer's own document: OpenID Connect Discovery 1.0 §4, else RFC 8414 §3.
 * @throws Unavailable when there is none, when it is one of another issuer, or when its keys are not served by HTTPS although the issuer is.
 */
export async function discoverIssuer(issuer: string, options: FetchJsonOptions): Promise<IssuerMetadata> {
  const document = await fetchFirst(documentUrls(issuer), options);
  const { issuer: stated, jwks_uri: jwksUri } = document as Readonly<Record<string, unknown>>;
  if (stated !== issuer)
    throw failure(
      `${issuer}: its discovery document is one of ${JSON.stringify(stated)}; configure that issuer or mend the document`,
    );
  if (typeof jwksUri !== 'string' || !URL.canParse(jwksUri))
    throw failure(`${issuer}: its discovery document has no jwks_uri`);
  if (issuer.startsWith('https:') && !jwksUri.startsWith('https:'))
    throw failure(`${issuer}: its keys are at ${jwksUri}, which is not HTTPS`);
  return { issuer, jwksUri };
}

function documentUrls(issuer: string): readonly string[] {
  const { origin, pathname } = new URL(issuer);
  const path = pathname === '/' ? '' : pathname.replace(/\/$/, '');
  return [
    `${origin}${path}/.well-known/openid-configuration`,
    `${origin}/.well-known/oauth-authorization-server${path}`,
  ];
}

async function fetchFirst(urls: readonly string[], options: FetchJsonOptions): Promise<object> {
  let failed: unknown;
  for (const url of urls) {
    try {
      const document = await fetchJson(url, options);
      if (typeof document === 'object' && document !== null) return document;
      failed ??= failure(`${url}: no JSON object`);
    } catch (error) {
      failed ??= error;
      // Only a missing document sends us to the next place; a server that is away is away for both.
      if (!isKind(error, 'Unavailable') || error.code !== 'oauth.fetch') throw error;
    }
  }
  throw failed;
}

function failure(message: string): InterlinkError {
  return new InterlinkError('Unavailable', message, { code: 'oauth.discovery' });
}
