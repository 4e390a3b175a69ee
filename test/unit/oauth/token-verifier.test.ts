import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type CryptoKey, exportJWK, exportSPKI, generateKeyPair, UnsecuredJWT } from 'jose';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { silentLogger } from '../../../src/base/logger.ts';
import type { IssuerConfig } from '../../../src/oauth/issuer-config.ts';
import { SIGNATURE_ALGORITHMS } from '../../../src/oauth/issuer-config.ts';
import { createTokenVerifier, type TokenVerifier } from '../../../src/oauth/token-verifier.ts';
import { FakeClock } from '../../fakes/fake-clock.ts';
import { createIssuer, type Issuer, type IssuerClient } from '../../fakes/issuer.ts';
import { temporaryDirectory } from '../../fakes/running.ts';

const AUDIENCE = 'https://site.example/interlink';
const OTHER_AUDIENCE = 'https://other.example';
const client: IssuerClient = { id: 'vk', secret: 'secret-of-vk', claims: { groups: ['/pods', '/pods/gpu'] } };
const HOUR = 3600;

let issuer: Issuer;
let clock: FakeClock;
let verifier: TokenVerifier;
const now = (): number => Math.floor(clock.nowMs() / 1000);

/** What is wrong with a token, how it is made, and how the refusal names it. */
type Refused = readonly [name: string, make: () => Promise<string>, code: string, message: RegExp];

function configOf(change: Partial<IssuerConfig> = {}): IssuerConfig {
  return {
    issuer: issuer.url,
    audiences: [AUDIENCE],
    algorithms: SIGNATURE_ALGORITHMS,
    groupsClaim: 'groups',
    maxTokenAgeSeconds: 24 * HOUR,
    ...change,
  };
}

function verifierOf(...configs: readonly IssuerConfig[]): TokenVerifier {
  return createTokenVerifier(configs, { clock, logger: silentLogger });
}

beforeAll(async () => {
  issuer = await createIssuer([client], [AUDIENCE, OTHER_AUDIENCE]);
});
afterAll(() => issuer[Symbol.asyncDispose]());
beforeEach(() => {
  clock = new FakeClock(Date.now());
  verifier = verifierOf(configOf());
});

describe('token verifier', () => {
  it('accepts what a real provider issues, with its groups', async () => {
    const principal = await verifier.verify(await issuer.token(client, AUDIENCE));
    expect(principal).toMatchObject({
      issuer: issuer.url,
      subject: 'vk',
      clientId: 'vk',
      audiences: [AUDIENCE],
      groups: ['/pods', '/pods/gpu'],
    });
    expect(principal.tokenId).toMatch(/^[0-9a-f]{16}$/);
  });

  it.each<Refused>([
    ['for another audience', () => issuer.token(client, OTHER_AUDIENCE), 'audience', /another audience/],
    ['without an audience', () => issuer.forge({}), 'audience', /has no audience; ask/],
    ['with an audience that merely begins alike', () => issuer.forge({ aud: `${AUDIENCE}/x` }), 'audience', /another/],
    [
      'with the wildcard audience',
      () => issuer.forge({ aud: 'https://wlcg.cern.ch/jwt/v1/any' }),
      'audience',
      /another/,
    ],
    ['that has just expired', () => issuer.forge({ aud: AUDIENCE, exp: now() }), 'expired', /expired/],
    ['that expired long ago', () => issuer.forge({ aud: AUDIENCE, exp: now() - HOUR }), 'expired', /expired/],
    ['without an end', () => issuer.forge({ aud: AUDIENCE, exp: undefined }), 'claim', /exp is missing/],
    ['that begins later', () => issuer.forge({ aud: AUDIENCE, nbf: now() + 90 }), 'early', /not valid yet/],
    ['issued in the future', () => issuer.forge({ aud: AUDIENCE, iat: now() + 90 }), 'early', /future/],
    [
      'that lives ten years',
      () => issuer.forge({ aud: AUDIENCE, exp: now() + 87_600 * HOUR }),
      'lifetime',
      /longer than/,
    ],
    [
      'that lives long by leaving out its birth',
      () => issuer.forge({ aud: AUDIENCE, iat: undefined, exp: now() + 48 * HOUR }),
      'lifetime',
      /longer/,
    ],
    ['without a subject', () => issuer.forge({ aud: AUDIENCE, sub: undefined }), 'claim', /sub is missing/],
    [
      'of a stranger',
      () => issuer.forge({ aud: AUDIENCE, iss: 'https://evil.example' }),
      'issuer',
      /not one of this site/,
    ],
    [
      'of an issuer spelled with a slash more',
      () => issuer.forge({ aud: AUDIENCE, iss: `${issuer.url}/` }),
      'issuer',
      /not one/,
    ],
    [
      'that is an ID token by its nonce',
      () => issuer.forge({ aud: AUDIENCE, nonce: 'x' }, { typ: 'JWT' }),
      'type',
      /ID token/,
    ],
    ['that is an ID token by its at_hash', () => issuer.forge({ aud: AUDIENCE, at_hash: 'x' }), 'type', /ID token/],
    [
      'that is a logout token by its header',
      () => issuer.forge({ aud: AUDIENCE }, { typ: 'logout+jwt' }),
      'type',
      /header/,
    ],
    [
      "that is Keycloak's refresh token",
      () => issuer.forge({ aud: AUDIENCE, typ: 'Refresh' }, { typ: 'JWT' }),
      'type',
      /claim typ/,
    ],
    ['with an unknown key id', () => issuer.forge({ aud: AUDIENCE }, { kid: 'other' }), 'key', /does not publish/],
    ['that is empty', async () => '', 'format', /no JWT/],
    ['that is garbage', async () => 'not.a.jwt', 'format', /no JWT/],
    ['that is opaque', async () => 'ghu_16C7e42F292c6912E7710c838347Ae178B4a', 'format', /no JWT/],
    ['of 17,000 characters', async () => 'a'.repeat(17_000), 'size', /longer than/],
    [
      'without a signature',
      async () => new UnsecuredJWT({ aud: AUDIENCE, iss: issuer.url, sub: 'x', exp: now() + 60 }).encode(),
      'algorithm',
      /algorithm/,
    ],
    [
      'signed by HMAC with the public key',
      async () =>
        issuer.forge({ aud: AUDIENCE }, { alg: 'HS256', key: Buffer.from(await exportSPKI(issuer.publicKey())) }),
      'algorithm',
      /algorithm/,
    ],
    [
      'signed by another key under the known id',
      async () => issuer.forge({ aud: AUDIENCE }, { key: (await generateKeyPair('RS256')).privateKey }),
      'signature',
      /signature/,
    ],
    [
      'whose content was changed',
      async () => {
        const [header, payload = '', signature] = (await issuer.forge({ aud: AUDIENCE })).split('.');
        const claims = { ...JSON.parse(Buffer.from(payload, 'base64url').toString()), groups: ['/admin'] };
        return `${header}.${Buffer.from(JSON.stringify(claims)).toString('base64url')}.${signature}`;
      },
      'signature',
      /signature/,
    ],
  ])('refuses a token %s', async (_name, make, code, message) => {
    const token = await make();
    const error = await verifier.verify(token).then(
      () => undefined,
      (caught: unknown) => caught,
    );
    expect(error).toMatchObject({
      kind: 'Unauthenticated',
      code: `oauth.token.${code}`,
      message: expect.stringMatching(message),
    });
    if (token.length > 0) expect(JSON.stringify([error, (error as Error).message])).not.toContain(token.slice(-20));
  });

  it.each([
    ['with one audience of several', { aud: [OTHER_AUDIENCE, AUDIENCE] }, 'at+jwt'],
    ['with typ JWT', { aud: AUDIENCE }, 'JWT'],
    ['of Keycloak', { aud: AUDIENCE, typ: 'Bearer' }, 'JWT'],
    ['begun by a clock that is 50 s ahead', { aud: AUDIENCE, nbf: Math.floor(Date.now() / 1000) + 50 }, 'at+jwt'],
  ])('accepts a token %s', async (_name, claims, typ) => {
    expect(await verifier.verify(await issuer.forge(claims, { typ }))).toMatchObject({ subject: 'forger' });
  });

  it('accepts the wildcard audience of WLCG only where it is configured', async () => {
    const any = 'https://wlcg.cern.ch/jwt/v1/any';
    const lenient = verifierOf(configOf({ audiences: [AUDIENCE, any], groupsClaim: 'wlcg.groups' }));
    const token = await issuer.forge({ aud: any, 'wlcg.ver': '1.0', 'wlcg.groups': ['/cms'] });
    expect((await lenient.verify(token)).groups).toEqual(['/cms']);
  });

  it('remembers a token until it expires, without a leeway', async () => {
    const token = await issuer.forge({ aud: AUDIENCE, exp: now() + 30 });
    await verifier.verify(token);
    await clock.advance(29_000);
    await verifier.verify(token);
    await clock.advance(1_000);
    await expect(verifier.verify(token)).rejects.toMatchObject({ code: 'oauth.token.expired' });
  });

  it('fetches keys once for many tokens at the same time', async () => {
    const before = issuer.requests.filter((path) => path === '/jwks').length;
    const token = await issuer.forge({ aud: AUDIENCE });
    await Promise.all(Array.from({ length: 20 }, (_unused, index) => verifier.verify(token).then(() => index)));
    expect(issuer.requests.filter((path) => path === '/jwks').length - before).toBe(1);
  });

  it('takes up a rotated key at once, but asks for unknown ones at most twice a minute', async () => {
    await verifier.verify(await issuer.forge({ aud: AUDIENCE }));
    await issuer.rotateKeys();
    await clock.advance(31_000);
    await verifier.verify(await issuer.forge({ aud: AUDIENCE }));
    const before = issuer.requests.length;
    for (let count = 0; count < 20; count++)
      await expect(
        verifier.verify(await issuer.forge({ aud: AUDIENCE }, { kid: `made-up-${count}` })),
      ).rejects.toMatchObject({
        code: 'oauth.token.key',
      });
    expect(issuer.requests.length).toBe(before);
  });

  it('forgets verified tokens when the keys change', async () => {
    const token = await issuer.forge({ aud: AUDIENCE });
    await verifier.verify(token);
    // Injected: the issuer withdraws the key that the token is signed with; somebody's unknown key id makes us look.
    await issuer.rotateKeys();
    await clock.advance(31_000);
    await verifier.verify(await issuer.forge({ aud: AUDIENCE }));
    await expect(verifier.verify(token)).rejects.toMatchObject({ code: 'oauth.token.key' });
  });

  describe('when the issuer is down', () => {
    it('says that it cannot know, and recovers by itself', async () => {
      const token = await issuer.forge({ aud: AUDIENCE });
      issuer.down = true;
      try {
        await expect(verifier.verify(token)).rejects.toMatchObject({ kind: 'Unavailable', code: 'oauth.keys' });
        const before = issuer.requests.length;
        await expect(verifier.verify(token)).rejects.toMatchObject({ kind: 'Unavailable' });
        expect(issuer.requests.length).toBe(before);
      } finally {
        issuer.down = false;
      }
      await clock.advance(5_000);
      expect(await verifier.verify(token)).toMatchObject({ subject: 'forger' });
    });

    it('goes on with the keys it has for two days, not longer', async () => {
      const long = verifierOf(configOf({ maxTokenAgeSeconds: 100 * HOUR }));
      const token = await issuer.forge({ aud: AUDIENCE, exp: now() + 99 * HOUR });
      await long.verify(token);
      issuer.down = true;
      try {
        await clock.advance(47 * HOUR * 1000);
        expect(await long.verify(token)).toMatchObject({ subject: 'forger' });
        await clock.advance(2 * HOUR * 1000);
        await expect(long.verify(token)).rejects.toMatchObject({ kind: 'Unavailable' });
      } finally {
        issuer.down = false;
      }
    });
  });

  it('reads keys from a file, for an issuer that cannot be reached, and again when it changes', async () => {
    await using directory = await temporaryDirectory();
    const jwksFile = join(directory.path, 'jwks.json');
    const remote = 'https://kubernetes.default.svc.cluster.local';
    const first = await generateKeyPair('ES256', { extractable: true });
    const second = await generateKeyPair('ES256', { extractable: true });
    const write = async (key: CryptoKey, kid: string) =>
      writeFile(jwksFile, JSON.stringify({ keys: [{ ...(await exportJWK(key)), kid, alg: 'ES256' }] }));
    const claims = { iss: remote, aud: AUDIENCE, sub: 'system:serviceaccount:interlink:vk' };
    const byFile = verifierOf(configOf({ issuer: remote, jwksFile }));
    await expect(byFile.verify(await issuer.forge(claims))).rejects.toMatchObject({ kind: 'Unavailable' });
    await write(first.publicKey, 'a');
    await clock.advance(5_000);
    const sign = (key: CryptoKey, kid: string) => issuer.forge(claims, { alg: 'ES256', kid, key, typ: 'JWT' });
    expect(await byFile.verify(await sign(first.privateKey, 'a'))).toMatchObject({ subject: claims.sub });
    await write(second.publicKey, 'bb');
    expect(await byFile.verify(await sign(second.privateKey, 'bb'))).toMatchObject({ subject: claims.sub });
    await expect(byFile.verify(await sign(first.privateKey, 'a'))).rejects.toMatchObject({ code: 'oauth.token.key' });
  });
});
