import { execFile } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';

export interface CertificateFiles {
  readonly certFile: string;
  readonly keyFile: string;
  /** SHA-256 of the certificate, hex. */
  readonly fingerprint: string;
}

/** Writes a self-signed certificate for localhost and 127.0.0.1, which is its own authority, into `directory`. */
export async function createCertificate(directory: string, name = 'server'): Promise<CertificateFiles> {
  const files = { certFile: join(directory, `${name}.crt`), keyFile: join(directory, `${name}.key`) };
  await promisify(execFile)('openssl', [
    ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '3650'],
    ...['-subj', `/CN=${name}`, '-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1'],
    ...['-keyout', files.keyFile, '-out', files.certFile],
  ]);
  const { fingerprint256 } = new X509Certificate(await readFile(files.certFile));
  return { ...files, fingerprint: fingerprint256.replaceAll(':', '').toLowerCase() };
}
