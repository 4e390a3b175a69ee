import { execFileSync } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { certificateRequest } from '../../../src/kube/certificate-request.ts';

function readBack(names: readonly string[], commonName = 'system:node:n'): string {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const pem = certificateRequest(privateKey, { organization: 'system:nodes', commonName, names });
  // `-verify` checks the signature over everything; openssl is an independent reader.
  return execFileSync('openssl', ['req', '-verify', '-noout', '-text', '-nameopt', 'RFC2253'], {
    input: pem,
    stdio: ['pipe', 'pipe', 'pipe'],
  }).toString();
}

describe('certificate request', () => {
  it('is signed and carries the subject of a node', () => {
    expect(readBack(['10.1.2.3'])).toMatch(/Subject: CN=system:node:n,O=system:nodes/);
  });

  it.each([
    ['10.1.2.3', 'IP Address:10.1.2.3'],
    ['node.example.org', 'DNS:node.example.org'],
    ['fd00::12:a', 'IP Address:FD00:0:0:0:0:0:12:A'],
    ['::', 'IP Address:0:0:0:0:0:0:0:0'],
    ['::1', 'IP Address:0:0:0:0:0:0:0:1'],
    ['2001:db8::', 'IP Address:2001:DB8:0:0:0:0:0:0'],
    ['1:2:3:4:5:6:7:8', 'IP Address:1:2:3:4:5:6:7:8'],
    ['::ffff:10.1.2.3', 'IP Address:0:0:0:0:0:FFFF:A01:203'],
  ])('names %s', (name, expected) => {
    expect(readBack([name])).toContain(expected);
  });

  it('holds long names and many of them', () => {
    const names = Array.from({ length: 40 }, (_, i) => `host-${i}.${'x'.repeat(50)}.example`);
    const text = readBack(names, `system:node:${'n'.repeat(52)}`);
    for (const name of names) expect(text).toContain(`DNS:${name}`);
  });
});
