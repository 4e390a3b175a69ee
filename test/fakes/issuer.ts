import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type CryptoKey, exportJWK, generateKeyPair, SignJWT } from 'jose';
import Provider from 'oidc-provider';

/** What a client gets in its access tokens. */
export interface IssuerClient {
  readonly id: string;
  readonly secret: string;
  readonly claims?: Readonly<Record<string, unknown>>;
}

interface SigningKey {
  readonly kid: string;
  readonly privateKey: CryptoKey;
  readonly publicKey: CryptoKey;
}

/** A real OpenID provider on loopback, with switches for what goes wrong with one. */
export interface Issuer extends AsyncDisposable {
  readonly url: string;
  /** An access token by client credentials, as the provider makes it. */
  token(client: IssuerClient, audience: string): Promise<string>;
  /** A token that the provider would not make: any claims, signed with its current key or another. `iss`, `sub`, `iat` and `exp` are good unless given. */
  forge(
    claims: Readonly<Record<string, unknown>>,
    options?: {
      readonly typ?: string;
      readonly alg?: string;
      readonly kid?: string | null;
      readonly key?: CryptoKey | Uint8Array;
    },
  ): Promise<string>;
  /** Replaces the signing key; old tokens stay signed with the old one. */
  rotateKeys(): Promise<void>;
  /** While true every connection is cut. */
  down: boolean;
  /** Paths that were asked for, in order. */
  readonly requests: readonly string[];
  /** The public key of the current signing key in PEM, which an attacker knows. */
  publicKey(): CryptoKey;
}

export async function createIssuer(clients: readonly IssuerClient[], audiences: readonly string[]): Promise<Issuer> {
  const requests: string[] = [];
  let listener: RequestListener | undefined;
  const server = createServer((request, response) => {
    requests.push(request.url ?? '');
    if (issuer.down) request.socket.destroy();
    else listener?.(request, response);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  let key: SigningKey;
  let keys = 0;

  const start = async (): Promise<void> => {
    const pair = await generateKeyPair('RS256', { extractable: true });
    keys += 1;
    key = { kid: `key-${keys}`, ...pair };
    const provider = new Provider(url, {
      jwks: { keys: [{ ...(await exportJWK(pair.privateKey)), kid: key.kid, alg: 'RS256', use: 'sig' }] },
      clients: clients.map(({ id, secret }) => ({
        client_id: id,
        client_secret: secret,
        grant_types: ['client_credentials'],
        redirect_uris: [],
        response_types: [],
        token_endpoint_auth_method: 'client_secret_basic',
      })),
      features: {
        devInteractions: { enabled: false },
        clientCredentials: { enabled: true },
        resourceIndicators: {
          enabled: true,
          getResourceServerInfo: (_context: unknown, resource: string) => {
            if (!audiences.includes(resource)) throw new Error(`unknown resource ${resource}`);
            return {
              scope: '',
              audience: resource,
              accessTokenFormat: 'jwt',
              accessTokenTTL: 3600,
              jwt: { sign: { alg: 'RS256' } },
            };
          },
        },
      },
      extraTokenClaims: (_context: unknown, token: { readonly clientId: string }) =>
        clients.find(({ id }) => id === token.clientId)?.claims,
    });
    listener = provider.callback();
  };
  const issuer: Issuer = {
    url,
    requests,
    down: false,
    publicKey: () => key.publicKey,
    async token(client, audience) {
      const answer = await fetch(`${url}/token`, {
        method: 'POST',
        headers: { authorization: `Basic ${Buffer.from(`${client.id}:${client.secret}`).toString('base64')}` },
        body: new URLSearchParams({ grant_type: 'client_credentials', resource: audience }),
      });
      if (!answer.ok) throw new Error(`token endpoint: ${answer.status} ${await answer.text()}`);
      return ((await answer.json()) as { readonly access_token: string }).access_token;
    },
    async forge(claims, { typ = 'at+jwt', alg = 'RS256', kid = key.kid, key: signWith = key.privateKey } = {}) {
      const now = Math.floor(Date.now() / 1000);
      const payload: Record<string, unknown> = { iss: url, sub: 'forger', iat: now, exp: now + 600, ...claims };
      return new SignJWT(payload).setProtectedHeader({ alg, typ, ...(kid === null ? {} : { kid }) }).sign(signWith);
    },
    rotateKeys: start,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
  await start();
  return issuer;
}
