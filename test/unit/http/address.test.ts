import { describe, expect, it } from 'vitest';
import { isKind } from '../../../src/base/errors.ts';
import { isLocalAddress, parseAddress, renderAddress } from '../../../src/http/address.ts';

describe('address', () => {
  it.each([
    ['unix:/run/s.sock', { kind: 'unix', path: '/run/s.sock' }, 'unix:/run/s.sock', true],
    ['unix:///run/s.sock', { kind: 'unix', path: '/run/s.sock' }, 'unix:/run/s.sock', true],
    [
      'http://127.0.0.1:3000',
      { kind: 'tcp', tls: false, host: '127.0.0.1', port: 3000 },
      'http://127.0.0.1:3000',
      true,
    ],
    ['https://[::1]:8443/', { kind: 'tcp', tls: true, host: '::1', port: 8443 }, 'https://[::1]:8443', true],
    [
      'https://site.example',
      { kind: 'tcp', tls: true, host: 'site.example', port: 443 },
      'https://site.example:443',
      false,
    ],
    ['http://0.0.0.0:0', { kind: 'tcp', tls: false, host: '0.0.0.0', port: 0 }, 'http://0.0.0.0:0', false],
    [
      'http://127.evil.example:80',
      { kind: 'tcp', tls: false, host: '127.evil.example', port: 80 },
      'http://127.evil.example:80',
      false,
    ],
  ] as const)('%s is read and written back', (text, address, rendered, local) => {
    expect(parseAddress(text)).toEqual(address);
    expect(renderAddress(parseAddress(text))).toBe(rendered);
    expect(isLocalAddress(parseAddress(text))).toBe(local);
  });

  it.each([
    ['', /unknown scheme/],
    ['run/s.sock', /unknown scheme/],
    ['ftp://host:1', /unknown scheme/],
    ['unix:relative.sock', /absolute/],
    ['unix://relative.sock', /absolute/],
    [`unix:/${'x'.repeat(107)}`, /108 bytes/],
    ['http://user:secret@host:1', /credentials/],
    ['http://host:1/path', /end after the port/],
    ['http://host:1?x', /end after the port/],
    ['http://host:99999', /no valid URL/],
  ])('refuses %j', (text, reason) => {
    let error: unknown;
    try {
      parseAddress(text);
    } catch (caught) {
      error = caught;
    }
    expect(isKind(error, 'Invalid')).toBe(true);
    expect((error as Error).message).toMatch(reason);
  });
});
