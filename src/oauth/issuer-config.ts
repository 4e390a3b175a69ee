/** An issuer of tokens and what this site demands of them. */
export interface IssuerConfig {
  /** Exactly as in the token's `iss`. */
  readonly issuer: string;
  /** One of them must be in the token's `aud`. */
  readonly audiences: readonly string[];
  readonly algorithms: readonly string[];
  /** Where the keys are, instead of asking the issuer's discovery document. */
  readonly jwksUri?: string | undefined;
  /** Keys in a file, for issuers that cannot be reached from here; read again when it changes. */
  readonly jwksFile?: string | undefined;
  /** Authorities for the issuer's HTTPS, in PEM. */
  readonly caFile?: string | undefined;
  /** Claim that holds groups: a literal key, dots included, else a path of keys. */
  readonly groupsClaim: string;
  /** Longest life of a token, `exp` − `iat`. */
  readonly maxTokenAgeSeconds: number;
}

/** What is believed when nothing is configured; WLCG demands RS256 and ES256. Never HS*, which any holder of the public key could sign. */
export const SIGNATURE_ALGORITHMS = ['RS256', 'ES256', 'PS256', 'ES384', 'EdDSA', 'Ed25519'] as const;
