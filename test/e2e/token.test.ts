import { generateKeyPairSync, randomUUID } from 'node:crypto';
import { request } from 'node:https';
import { setTimeout as sleep } from 'node:timers/promises';
import { decodeJwt, SignJWT } from 'jose';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { describeOn } from './support/describe-on.ts';
import { EVERYTHING } from './support/environment.ts';
import { AUDIENCE, GROUP } from './support/issuer.ts';
import { type Stack, startStack } from './support/stack.ts';

describeOn(EVERYTHING, 'the proxy lets in only who has a good token', () => {
  let stack: Stack;
  beforeAll(async () => {
    stack = await startStack({ name: 'token' });
  });
  afterAll(() => stack?.[Symbol.asyncDispose]());

  interface Answer {
    readonly status: number;
    readonly challenge: string;
    readonly text: string;
  }

  function call(authorization: string | undefined): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const sent = request(
        new URL('/pinglink', stack.proxyUrl),
        { ca: stack.proxyCa, method: 'POST', headers: authorization === undefined ? {} : { authorization } },
        (response) => {
          let text = '';
          response.setEncoding('utf8').on('data', (chunk: string) => {
            text += chunk;
          });
          response.once('end', () =>
            resolve({ status: response.statusCode ?? 0, challenge: response.headers['www-authenticate'] ?? '', text }),
          );
        },
      );
      sent.once('error', reject);
      sent.end();
    });
  }

  /** The call, and what the audit says of it. */
  async function audited(authorization: string | undefined): Promise<{ answer: Answer; audit: string }> {
    const before = stack.auditLog().length;
    const answer = await call(authorization);
    await sleep(200);
    return { answer, audit: stack.auditLog().slice(before) };
  }

  function expectNowhere(token: string): void {
    const log = stack.log();
    expect(log.includes(token)).toBe(false);
    // Neither its signature nor its claims.
    for (const part of token.split('.').filter((text) => text.length > 40)) expect(log.includes(part)).toBe(false);
  }

  test('a good token passes, and the audit names its subject', async () => {
    const token = await stack.issuer.token();
    const { answer, audit } = await audited(`Bearer ${token}`);
    expect(answer.status).toBe(200);
    expect(audit).toContain('"decision":"allow"');
    expect(audit).toContain(decodeJwt(token).sub);
    expectNowhere(token);
  });

  test('no token: 401 with a challenge that has no error code', async () => {
    const { answer, audit } = await audited(undefined);
    expect(answer.status).toBe(401);
    expect(answer.challenge).toMatch(/^Bearer/);
    expect(answer.challenge).not.toContain('error=');
    expect(audit).toMatch(/"decision":"deny"/);
  });

  const forged = async (claims: object = {}): Promise<string> => {
    const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
    const good = decodeJwt(await stack.issuer.token());
    return new SignJWT({ ...good, groups: [GROUP], jti: randomUUID(), ...claims })
      .setProtectedHeader({ alg: 'RS256', typ: 'at+jwt', kid: 'forged' })
      .sign(privateKey);
  };
  const unsigned = async (): Promise<string> => {
    const encode = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');
    return `${encode({ alg: 'none', typ: 'at+jwt' })}.${encode({ ...decodeJwt(await stack.issuer.token()) })}.`;
  };
  const expired = async (): Promise<string> => {
    const token = await stack.issuer.token('hasty');
    await sleep(2_500);
    return token;
  };

  test.each([
    ['signed by another key', forged],
    ['without a signature', unsigned],
    ['that has expired', expired],
    ['for another audience', () => stack.issuer.token('node', 'https://elsewhere.example')],
    ['that is no JWT', async () => `not-a-token-${'x'.repeat(60)}`],
  ])('a token %s: 401 invalid_token, an audit line, and the token in no log', async (_, make) => {
    const token = await make();
    const { answer, audit } = await audited(`Bearer ${token}`);
    expect(answer.status).toBe(401);
    expect(answer.challenge).toMatch(/^Bearer .*error="invalid_token"/);
    expect(audit).toMatch(/"decision":"deny"/);
    expect(answer.text).not.toContain(token);
    expectNowhere(token);
  });

  test('a token of another group: 403 with the RFC 6750 header, an audit line, and the token in no log', async () => {
    const token = await stack.issuer.token('stranger', AUDIENCE);
    const { answer, audit } = await audited(`Bearer ${token}`);
    expect(answer.status).toBe(403);
    expect(answer.challenge).toMatch(/^Bearer .*error="insufficient_scope"/);
    expect(audit).toContain('stranger');
    expectNowhere(token);
  });
});
