import { createHash } from 'node:crypto';
import { decodeJwt, type JWTPayload, type JWTVerifyResult, errors as joseErrors, jwtVerify } from 'jose';
import type { Clock } from '../base/clock.ts';
import { InterlinkError, isKind } from '../base/errors.ts';
import type { Logger } from '../base/logger.ts';
import { listClaim } from './claims.ts';
import type { IssuerConfig } from './issuer-config.ts';
import { createJsonWebKeys, type JsonWebKeys } from './json-web-keys.ts';

/** Who a verified token speaks for. */
export interface Principal {
  readonly issuer: string;
  readonly subject: string;
  /** `client_id` or `azp`: the program that asked for the token. */
  readonly clientId?: string;
  readonly audiences: readonly string[];
  readonly groups: readonly string[];
  /** First 16 hex digits of the token's SHA-256: names the token in the audit, gives nothing of it away. */
  readonly tokenId: string;
  readonly expiresAtMs: number;
}

/** Judges access tokens of the configured issuers. */
export interface TokenVerifier {
  /**
   * The principal of a token that is good in every respect.
   * @throws Unauthenticated with a code `oauth.token.*` and a message that names the fault and holds nothing of the token; Unavailable while the
   * issuer's keys cannot be had.
   */
  verify(token: string): Promise<Principal>;
  /** Fetches the keys of every issuer; never fails. */
  warmUp(): Promise<void>;
}

export interface TokenVerifierDeps {
  readonly clock: Clock;
  readonly logger: Logger;
}

const MAX_TOKEN_CHARACTERS = 16 * 1024;
const CLOCK_TOLERANCE_SECONDS = 60;
const REMEMBER_MS = 60_000;
const MAX_REMEMBERED = 10_000;
/** RFC 9068 and what issuers that know nothing of it write. */
const ACCESS_TOKEN_TYPES = new Set(['jwt', 'at+jwt', 'application/at+jwt']);
/** Claims of OpenID Connect ID tokens, which are for the client that asked and must not open anything else (RFC 8725 §3.12). */
const ID_TOKEN_CLAIMS = ['nonce', 'at_hash', 'c_hash'] as const;

interface Remembered {
  readonly principal: Principal;
  readonly keys: JsonWebKeys;
  readonly generation: number;
  readonly untilMs: number;
}

/** A verifier for the given issuers. A verified token is remembered for a minute, until it expires or until its issuer's keys change. */
export function createTokenVerifier(issuers: readonly IssuerConfig[], deps: TokenVerifierDeps): TokenVerifier {
  const { clock } = deps;
  const known = new Map(issuers.map((config) => [config.issuer, { config, keys: createJsonWebKeys(config, deps) }]));
  const remembered = new Map<string, Remembered>();

  const recall = (digest: string): Principal | undefined => {
    const entry = remembered.get(digest);
    if (entry === undefined) return undefined;
    if (entry.generation === entry.keys.generation && clock.nowMs() < entry.untilMs) return entry.principal;
    remembered.delete(digest);
    return undefined;
  };

  return {
    async verify(token) {
      if (token.length > MAX_TOKEN_CHARACTERS)
        throw refuse('size', `the token is longer than ${MAX_TOKEN_CHARACTERS} characters`);
      const digest = createHash('sha256').update(token).digest('hex');
      const before = recall(digest);
      if (before) return before;
      const { config, keys } = issuerOf(token, known);
      const nowMs = clock.nowMs();
      const { payload, protectedHeader } = await verifySignature(token, config, keys, nowMs);
      judgeKind(payload, protectedHeader.typ);
      judgeTimes(payload, config, nowMs);
      const principal = principalOf(payload, config, digest.slice(0, 16));
      if (remembered.size >= MAX_REMEMBERED)
        for (const key of [...remembered.keys()].slice(0, MAX_REMEMBERED / 2)) remembered.delete(key);
      const untilMs = Math.min(principal.expiresAtMs, nowMs + REMEMBER_MS);
      remembered.set(digest, { principal, keys, generation: keys.generation, untilMs });
      return principal;
    },

    async warmUp() {
      await Promise.all([...known.values()].map(({ keys }) => keys.warmUp()));
    },
  };
}

interface KnownIssuer {
  readonly config: IssuerConfig;
  readonly keys: JsonWebKeys;
}

function issuerOf(token: string, known: ReadonlyMap<string, KnownIssuer>): KnownIssuer {
  let issuer: unknown;
  try {
    issuer = decodeJwt(token).iss;
  } catch {
    throw refuse('format', 'the token is no JWT');
  }
  const found = known.get(String(issuer));
  if (found) return found;
  throw refuse('issuer', `the issuer ${JSON.stringify(String(issuer)).slice(0, 200)} is not one of this site's`);
}

async function verifySignature(
  token: string,
  config: IssuerConfig,
  keys: JsonWebKeys,
  nowMs: number,
): Promise<JWTVerifyResult> {
  try {
    return await jwtVerify(token, keys.find, {
      algorithms: [...config.algorithms],
      issuer: config.issuer,
      audience: [...config.audiences],
      requiredClaims: ['exp', 'sub'],
      clockTolerance: CLOCK_TOLERANCE_SECONDS,
      currentDate: new Date(nowMs),
    });
  } catch (error) {
    throw isKind(error, 'Unavailable') ? error : describeFault(error, config);
  }
}

/** What jose found, in words that tell the next step; its own messages stay out as they may quote claims. */
function describeFault(error: unknown, config: IssuerConfig): InterlinkError {
  if (error instanceof joseErrors.JWTExpired) return refuse('expired', 'the token has expired');
  if (error instanceof joseErrors.JWTClaimValidationFailed) {
    const wanted = config.audiences.map((audience) => JSON.stringify(audience)).join(' or ');
    if (error.claim === 'aud')
      return error.reason === 'missing'
        ? refuse('audience', `the token has no audience; ask ${config.issuer} for one with the audience ${wanted}`)
        : refuse('audience', `the token is for another audience, this site is ${wanted}`);
    if (error.claim === 'nbf') return refuse('early', 'the token is not valid yet; check the clocks');
    return refuse(
      'claim',
      `the token's claim ${error.claim} is ${error.reason === 'missing' ? 'missing' : 'not acceptable'}`,
    );
  }
  if (error instanceof joseErrors.JOSEAlgNotAllowed)
    return refuse('algorithm', `the token is signed with an algorithm other than ${config.algorithms.join(', ')}`);
  if (error instanceof joseErrors.JWKSNoMatchingKey)
    return refuse('key', `the token is signed with a key that ${config.issuer} does not publish`);
  if (error instanceof joseErrors.JWKSMultipleMatchingKeys)
    return refuse('key', `the token does not say with which of the keys of ${config.issuer} it is signed`);
  if (error instanceof joseErrors.JWSSignatureVerificationFailed)
    return refuse('signature', 'the signature of the token is wrong');
  return refuse('format', 'the token is no signed JWT');
}

function judgeKind(payload: JWTPayload, typ: string | undefined): void {
  if (typ !== undefined && !ACCESS_TOKEN_TYPES.has(typ.toLowerCase()))
    throw refuse('type', 'the token is not an access token by its header');
  // Keycloak tells its kinds apart by a claim of this name: Bearer, ID, Refresh, Logout.
  if (payload.typ !== undefined && payload.typ !== 'Bearer')
    throw refuse('type', 'the token is not an access token by its claim typ');
  const mark = ID_TOKEN_CLAIMS.find((claim) => payload[claim] !== undefined);
  if (mark !== undefined) throw refuse('type', `the token is an ID token (it has ${mark}); send the access token`);
}

function judgeTimes(payload: JWTPayload, config: IssuerConfig, nowMs: number): void {
  const { exp = 0, iat } = payload;
  if (exp * 1000 <= nowMs) throw refuse('expired', 'the token has expired');
  if (iat !== undefined && iat * 1000 > nowMs + CLOCK_TOLERANCE_SECONDS * 1000)
    throw refuse('early', 'the token was issued in the future; check the clocks');
  if (exp - (iat ?? nowMs / 1000) > config.maxTokenAgeSeconds)
    throw refuse(
      'lifetime',
      `the token lives longer than ${config.maxTokenAgeSeconds} s, which this site does not accept`,
    );
}

function principalOf(payload: JWTPayload, config: IssuerConfig, tokenId: string): Principal {
  const { sub = '', aud = [], exp = 0 } = payload;
  const clientId = [payload.client_id, payload.azp].find((value) => typeof value === 'string') as string | undefined;
  return {
    issuer: config.issuer,
    subject: sub,
    ...(clientId === undefined ? {} : { clientId }),
    audiences: typeof aud === 'string' ? [aud] : aud,
    groups: listClaim(payload, config.groupsClaim),
    tokenId,
    expiresAtMs: exp * 1000,
  };
}

function refuse(code: string, message: string): InterlinkError {
  return new InterlinkError('Unauthenticated', message, { code: `oauth.token.${code}` });
}
