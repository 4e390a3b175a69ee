/**
 * An OpenID Connect issuer for the end-to-end tests: `node scripts/e2e/issuer.ts SETTINGS.json`. Answers the client credentials grant with
 * JWT access tokens for the audience that `resource` names, prints its URL on standard output once it listens, and ends on SIGTERM.
 */
import { readFileSync } from 'node:fs';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';

interface Client {
  readonly id: string;
  readonly secret: string;
  readonly groups: readonly string[];
  readonly tokenSeconds: number;
}

interface Settings {
  /** 0 for any. */
  readonly port: number;
  readonly certFile: string;
  readonly keyFile: string;
  readonly clients: readonly Client[];
}

interface Provider {
  callback(): (request: unknown, response: unknown) => void;
}

// The package has no types; this is all that is used of it.
const packageName: string = 'oidc-provider';
const { default: OidcProvider } = (await import(packageName)) as {
  default: new (issuer: string, configuration: object) => Provider;
};

const settings: Settings = JSON.parse(readFileSync(process.argv[2] ?? '/dev/stdin', 'utf8'));
const byId = new Map(settings.clients.map((client) => [client.id, client]));

const server = createServer({ cert: readFileSync(settings.certFile), key: readFileSync(settings.keyFile) });
await new Promise<void>((resolve) => server.listen(settings.port, '127.0.0.1', resolve));
const issuer = `https://127.0.0.1:${(server.address() as AddressInfo).port}`;

const provider = new OidcProvider(issuer, {
  clients: settings.clients.map(({ id, secret }) => ({
    client_id: id,
    client_secret: secret,
    grant_types: ['client_credentials'],
    response_types: [],
    redirect_uris: [],
  })),
  features: {
    devInteractions: { enabled: false },
    clientCredentials: { enabled: true },
    resourceIndicators: {
      enabled: true,
      getResourceServerInfo: (_context: unknown, resource: string, client: { clientId: string }) => ({
        scope: '',
        audience: resource,
        accessTokenFormat: 'jwt',
        accessTokenTTL: byId.get(client.clientId)?.tokenSeconds ?? 3600,
        jwt: { sign: { alg: 'RS256' } },
      }),
    },
  },
  extraTokenClaims: (_context: unknown, token: { clientId?: string }) => ({
    groups: [...(byId.get(token.clientId ?? '')?.groups ?? [])],
  }),
});
server.on('request', provider.callback());
process.on('SIGTERM', () => {
  server.close();
  server.closeAllConnections();
});
console.log(issuer);
