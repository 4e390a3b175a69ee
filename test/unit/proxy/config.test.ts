import { describe, expect, it } from 'vitest';
import { proxyConfig } from '../../../src/proxy/config.ts';

const issuer = { issuer: 'https://iam.example', audiences: ['site'], allowedGroups: ['/pods'] };
const good = {
  listen: 'https://0.0.0.0:8443',
  certFile: '/etc/tls.crt',
  keyFile: '/etc/tls.key',
  issuers: [issuer],
  sidecars: [{ url: 'unix:/run/sidecar.sock' }],
};

const messagesOf = (value: unknown): string =>
  (proxyConfig.safeParse(value).error?.issues ?? [])
    .map(({ path, message }) => `${path.join('.')}: ${message}`)
    .join('\n');

describe('proxy configuration', () => {
  it('is complete with defaults', () => {
    expect(proxyConfig.parse(good)).toMatchObject({
      maxConnections: 4096,
      insecureNoAuthentication: false,
      issuers: [{ groupsClaim: 'groups', maxTokenAgeSeconds: 86_400, allowEverybody: false }],
      sidecars: [{ name: 'default', protocol: 'plugin', createFormat: 'auto' }],
    });
  });

  it('takes an unauthenticated proxy on a socket and on loopback', () => {
    for (const listen of ['unix:/run/p.sock', 'http://127.0.0.1:3000', 'http://localhost:3000'])
      expect(messagesOf({ listen, insecureNoAuthentication: true, sidecars: good.sidecars })).toBe('');
  });

  it.each([
    [
      'an unauthenticated proxy on all addresses',
      { ...good, issuers: [], insecureNoAuthentication: true },
      /loopback address only/,
    ],
    [
      'an unauthenticated proxy on a name',
      { listen: 'http://site.example:80', insecureNoAuthentication: true, sidecars: good.sidecars },
      /loopback address only/,
    ],
    [
      'no authentication beside issuers',
      { ...good, listen: 'https://127.0.0.1:1', insecureNoAuthentication: true },
      /make the issuers void/,
    ],
    ['nobody who may call', { ...good, issuers: [] }, /at least one issuer/],
    [
      'tokens without TLS',
      { ...good, listen: 'http://0.0.0.0:8080', certFile: undefined, keyFile: undefined },
      /unencrypted/,
    ],
    ['https without a certificate', { ...good, certFile: undefined }, /needs certFile and keyFile/],
    ['a certificate that is not used', { ...good, listen: 'http://127.0.0.1:1' }, /not https/],
    ['an issuer without a rule', { ...good, issuers: [{ ...issuer, allowedGroups: undefined }] }, /say who may call/],
    ['an empty list of groups', { ...good, issuers: [{ ...issuer, allowedGroups: [] }] }, /allowedGroups/],
    ['an empty group', { ...good, issuers: [{ ...issuer, allowedGroups: [''] }] }, /allowedGroups/],
    [
      'groups that everybody makes void',
      { ...good, issuers: [{ ...issuer, allowEverybody: true }] },
      /make allowedGroups/,
    ],
    ['an issuer without an audience', { ...good, issuers: [{ ...issuer, audiences: [] }] }, /audiences/],
    ['an HMAC algorithm', { ...good, issuers: [{ ...issuer, algorithms: ['HS256'] }] }, /algorithms/],
    ['no signature at all', { ...good, issuers: [{ ...issuer, algorithms: ['none'] }] }, /algorithms/],
    ['an issuer over plain HTTP', { ...good, issuers: [{ ...issuer, issuer: 'http://iam.example' }] }, /must be https/],
    ['the same issuer twice', { ...good, issuers: [issuer, issuer] }, /twice/],
    ['a misspelled key', { ...good, issuers: [{ ...issuer, alowedGroups: ['x'] }] }, /alowedGroups/],
    ['no sidecar', { ...good, sidecars: [] }, /sidecars/],
    ['a sidecar at no address', { ...good, sidecars: [{ url: 'run/s.sock' }] }, /unknown scheme/],
    [
      'two sidecars of one name',
      { ...good, sidecars: [{ url: 'unix:/a' }, { url: 'unix:/b', match: {} }] },
      /name of its own/,
    ],
    [
      'two sidecars for the rest',
      { ...good, sidecars: [{ url: 'unix:/a' }, { name: 'b', url: 'unix:/b' }] },
      /only one sidecar/,
    ],
  ])('refuses %s', (_name, value, reason) => {
    expect(messagesOf(value)).toMatch(reason);
  });
});
