import { createPublicKey, type KeyObject, sign } from 'node:crypto';
import { isIP, isIPv6 } from 'node:net';
import { der } from './der.ts';

/** Whom and what a certificate shall be for. */
export interface CertificateSubject {
  readonly organization: string;
  readonly commonName: string;
  /** IP addresses and DNS names that the certificate shall be good for. */
  readonly names: readonly string[];
}

const OID = {
  commonName: '2.5.4.3',
  organization: '2.5.4.10',
  subjectAltName: '2.5.29.17',
  extensionRequest: '1.2.840.113549.1.9.14',
  ecdsaWithSha256: '1.2.840.10045.4.3.2',
} as const;

/**
 * A PKCS #10 certificate request in PEM, signed with `key`, which is a private key on an elliptic curve.
 *
 * @see https://www.rfc-editor.org/rfc/rfc2986
 */
export function certificateRequest(key: KeyObject, subject: CertificateSubject): string {
  const attribute = (oid: string, value: string): Buffer => der.set(der.sequence(der.oid(oid), der.utf8(value)));
  const names = subject.names.map((name) =>
    isIP(name) === 0 ? der.context(2, false, Buffer.from(name)) : der.context(7, false, addressBytes(name)),
  );
  const extension = der.sequence(der.oid(OID.subjectAltName), der.octets(der.sequence(...names)));
  const info = der.sequence(
    der.smallInteger(0),
    der.sequence(attribute(OID.organization, subject.organization), attribute(OID.commonName, subject.commonName)),
    createPublicKey(key).export({ type: 'spki', format: 'der' }),
    der.context(0, true, der.sequence(der.oid(OID.extensionRequest), der.set(der.sequence(extension)))),
  );
  const request = der.sequence(info, der.sequence(der.oid(OID.ecdsaWithSha256)), der.bits(sign('sha256', info, key)));
  const lines = request.toString('base64').match(/.{1,64}/g) ?? [];
  return ['-----BEGIN CERTIFICATE REQUEST-----', ...lines, '-----END CERTIFICATE REQUEST-----', ''].join('\n');
}

function addressBytes(address: string): Buffer {
  if (!isIPv6(address)) return Buffer.from(address.split('.').map(Number));
  const [head = '', tail] = expandV4(address).split('::');
  const groups = (text: string): string[] => text.split(':').filter((group) => group !== '');
  const [left, right] = [groups(head), groups(tail ?? '')];
  const middle = Array.from({ length: tail === undefined ? 0 : 8 - left.length - right.length }, () => '0');
  const values = [...left, ...middle, ...right].map((group) => Number.parseInt(group, 16));
  return Buffer.from(values.flatMap((value) => [value >> 8, value & 0xff]));
}

/** `::ffff:1.2.3.4` in groups of hexadecimal digits only. */
function expandV4(address: string): string {
  return address.replace(/(\d+)\.(\d+)\.(\d+)\.(\d+)$/, (_, ...parts: string[]) => {
    const [a = 0, b = 0, c = 0, d = 0] = parts.slice(0, 4).map(Number);
    return `${((a << 8) | b).toString(16)}:${((c << 8) | d).toString(16)}`;
  });
}
