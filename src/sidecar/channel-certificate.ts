import { createHash, generateKeyPairSync, randomBytes, sign, X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { systemCodeOf } from '../base/errors.ts';
import { writeFileAtomic } from '../base/files.ts';

/** The certificate of a channel server, known to its runners by its fingerprint alone. */
export interface ChannelCertificate {
  /** PEM. */
  readonly cert: string;
  /** PEM. */
  readonly key: string;
  /** SHA-256 of the certificate in hex. */
  readonly fingerprint: string;
}

/**
 * The certificate in `directory/channel.pem` (0600, key and certificate), made when there is none. Runners pin its fingerprint for their whole life, so it
 * has no end and is never replaced. It holds no name and no extension, as nobody verifies those.
 */
export async function channelCertificate(directory: string): Promise<ChannelCertificate> {
  const path = join(directory, 'channel.pem');
  let pem: string;
  try {
    pem = await readFile(path, 'utf8');
  } catch (error) {
    if (systemCodeOf(error) !== 'ENOENT') throw error;
    pem = makeCertificate();
    await writeFileAtomic(path, pem);
  }
  const end = pem.indexOf('-----BEGIN CERTIFICATE-----');
  const [key, cert] = [pem.slice(0, end), pem.slice(end)];
  const fingerprint = createHash('sha256').update(new X509Certificate(cert).raw).digest('hex');
  return { cert, key, fingerprint };
}

/** DER tags. @see ITU-T X.690 */
const [INTEGER, BIT_STRING, OID, UTF8_STRING, GENERALIZED_TIME, SEQUENCE, SET] = [
  0x02, 0x03, 0x06, 0x0c, 0x18, 0x30, 0x31,
];
/** 1.2.840.10045.4.3.2 ecdsa-with-SHA256, RFC 5758 §3.2. */
const ECDSA_WITH_SHA256 = Buffer.from('2a8648ce3d040302', 'hex');
/** 2.5.4.3 commonName, RFC 5280 appendix A. */
const COMMON_NAME = Buffer.from('550403', 'hex');
/** RFC 5280 §4.1.2.5: a certificate without a well-defined end. The beginning lies before any worker's clock. */
const [NOT_BEFORE, NOT_AFTER] = ['20200101000000Z', '99991231235959Z'];

/** A self-signed version 1 certificate, RFC 5280 §4.1, and its key before it. */
function makeCertificate(): string {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const algorithm = der(SEQUENCE, der(OID, ECDSA_WITH_SHA256));
  const commonName = der(SEQUENCE, der(OID, COMMON_NAME), der(UTF8_STRING, Buffer.from('interlink channel')));
  const name = der(SEQUENCE, der(SET, commonName));
  const serial = randomBytes(16);
  // Positive and of minimal length.
  serial[0] = ((serial[0] ?? 0) & 0x7f) | 0x40;
  const times = [NOT_BEFORE, NOT_AFTER].map((time) => der(GENERALIZED_TIME, Buffer.from(time)));
  const body = der(
    SEQUENCE,
    der(INTEGER, serial),
    algorithm,
    name,
    der(SEQUENCE, ...times),
    name,
    publicKey.export({ type: 'spki', format: 'der' }),
  );
  const signature = sign('sha256', body, privateKey);
  const certificate = der(SEQUENCE, body, algorithm, der(BIT_STRING, Buffer.from([0]), signature));
  const base64 = certificate.toString('base64').replaceAll(/.{64}/g, '$&\n');
  return `${privateKey.export({ type: 'pkcs8', format: 'pem' })}-----BEGIN CERTIFICATE-----\n${base64}\n-----END CERTIFICATE-----\n`;
}

function der(tag: number, ...parts: readonly Uint8Array[]): Buffer {
  const content = Buffer.concat(parts);
  const length =
    content.length < 0x80
      ? [content.length]
      : content.length < 0x100
        ? [0x81, content.length]
        : [0x82, content.length >> 8, content.length & 0xff];
  return Buffer.concat([Buffer.from([tag, ...length]), content]);
}
