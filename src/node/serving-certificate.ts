import {
  createHash,
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
  X509Certificate,
} from 'node:crypto';
import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { Backoff } from '../base/backoff.ts';
import type { Clock } from '../base/clock.ts';
import { InterlinkError, isKind, messageOf, systemCodeOf } from '../base/errors.ts';
import { makePrivateDirectory, writeFileAtomic } from '../base/files.ts';
import type { Logger } from '../base/logger.ts';
import type { Service } from '../base/service.ts';
import type { TlsMaterial, TlsSource } from '../http/tls-source.ts';
import { certificateRequest } from '../kube/certificate-request.ts';
import { CERTIFICATE_SIGNING_REQUESTS } from '../kube/kinds.ts';
import type { KubeClient } from '../kube/kube-client.ts';

export interface ServingCertificateDeps {
  readonly kube: KubeClient;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly random?: () => number;
}

export interface ServingCertificateOptions {
  readonly nodeName: string;
  /** Made 0700; holds `kubelet-serving.pem` (certificate and key, 0600) and, while one is asked for, `kubelet-serving-pending.key`. */
  readonly directory: string;
  /** Addresses and DNS names by which the API server reaches this node. */
  readonly names: readonly string[];
  /** Told what an administrator has to do, each time that it changes; empty when there is nothing. */
  readonly onNotice: (notice: string) => void;
}

/**
 * The serving certificate of the kubelet port, asked of the cluster by a CertificateSigningRequest of signer `kubernetes.io/kubelet-serving`, kept over
 * restarts and renewed at 70 to 90 % of its life. Nobody approves these requests by default, so the notice has the command to type. `ready` resolves when there
 * is a certificate; a renewal shows by `changed`.
 */
export interface ServingCertificate extends Service, TlsSource {}

interface Issued extends TlsMaterial {
  readonly renewAtMs: number;
}

const POLL = { initialMs: 1_000, maxMs: 10_000, factor: 1.5 };
const REFUSED_MS = 60_000;
/** Longest sleep in one piece, as the wall clock may jump. */
const NAP_MS = 600_000;

/** Reads, writes and asks nothing until `run`. */
export function createServingCertificate(
  deps: ServingCertificateDeps,
  options: ServingCertificateOptions,
): ServingCertificate {
  return new CsrCertificate(deps, options);
}

class CsrCertificate implements ServingCertificate {
  readonly name = 'serving certificate';
  readonly ready: Promise<void>;
  readonly #deps: ServingCertificateDeps;
  readonly #options: ServingCertificateOptions;
  readonly #becomeReady: () => void;
  readonly #file: string;
  readonly #pendingKeyFile: string;
  #issued: Issued | undefined;
  #next = Promise.withResolvers<void>();
  #notice = '';

  constructor(deps: ServingCertificateDeps, options: ServingCertificateOptions) {
    this.#deps = deps;
    this.#options = options;
    this.#file = join(options.directory, 'kubelet-serving.pem');
    this.#pendingKeyFile = join(options.directory, 'kubelet-serving-pending.key');
    const { promise, resolve } = Promise.withResolvers<void>();
    this.ready = promise;
    this.#becomeReady = resolve;
  }

  async load(): Promise<TlsMaterial> {
    if (this.#issued === undefined)
      throw new InterlinkError('Unavailable', 'the serving certificate has not been issued yet', {
        code: 'node.certificate.pending',
      });
    return this.#issued;
  }

  async changed(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    const aborted = Promise.withResolvers<never>();
    const done = new AbortController();
    signal.addEventListener('abort', () => aborted.reject(signal.reason), { once: true, signal: done.signal });
    try {
      await Promise.race([this.#next.promise, aborted.promise]);
    } finally {
      done.abort();
    }
  }

  async run(signal: AbortSignal): Promise<void> {
    const { clock, logger } = this.#deps;
    try {
      await makePrivateDirectory(this.#options.directory);
      const stored = await this.#stored();
      if (stored !== undefined) this.#adopt(stored);
      while (!signal.aborted) {
        const leftMs = this.#issued === undefined ? 0 : this.#issued.renewAtMs - clock.nowMs();
        if (leftMs > 0) await clock.sleep(Math.min(leftMs, NAP_MS), { signal });
        else await this.#issue(signal);
      }
    } catch (error) {
      if (!signal.aborted) throw error;
      logger.debug('serving certificate stopped');
    }
  }

  async #issue(signal: AbortSignal): Promise<void> {
    const { clock, logger } = this.#deps;
    const key = await this.#pendingKey();
    const name = this.#requestName(key);
    const backoff = new Backoff(POLL);
    for (;;) {
      let waitMs = backoff.next();
      try {
        const answer = await this.#ask(name, key, signal);
        if (answer === 'failed') {
          // The signer will not look at this request again; a new key makes a new one.
          await rm(this.#pendingKeyFile, { force: true });
          return;
        }
        if (answer !== 'pending' && answer !== 'denied') {
          await writeFileAtomic(this.#file, `${answer.cert.trim()}\n${answer.key}`);
          await rm(this.#pendingKeyFile, { force: true });
          this.#adopt(answer);
          this.#tell('');
          return logger.info('serving certificate issued', { name });
        }
        if (answer === 'denied') waitMs = REFUSED_MS;
        this.#tell(this.#unanswered(name, answer));
      } catch (error) {
        signal.throwIfAborted();
        if (isKind(error, 'Forbidden')) {
          waitMs = REFUSED_MS;
          this.#tell(
            'kubectl logs does not work: this node may not create CertificateSigningRequests; allow it (examples/node-rbac.yaml) or set node.kubelet.certFile',
          );
        }
        logger.debug('certificate request failed, will retry', { name, err: messageOf(error) });
      }
      await clock.sleep(waitMs, { signal });
    }
  }

  #unanswered(name: string, answer: 'pending' | 'denied'): string {
    const effect =
      this.#issued === undefined
        ? 'kubectl logs does not work yet'
        : `kubectl logs works until ${new X509Certificate(this.#issued.cert).validTo}`;
    return answer === 'pending'
      ? `${effect}: approve the serving certificate with \`kubectl certificate approve ${name}\``
      : `${effect}: the serving certificate was denied; \`kubectl delete csr ${name}\` asks again`;
  }

  /** Looks at the request, making it when it is not there: requests are removed after an hour or a day, whatever became of them. */
  async #ask(name: string, key: KeyObject, signal: AbortSignal): Promise<Issued | 'pending' | 'denied' | 'failed'> {
    const { kube, logger } = this.#deps;
    const { nodeName, names } = this.#options;
    let request: Awaited<ReturnType<typeof kube.get<NonNullable<typeof CERTIFICATE_SIGNING_REQUESTS.objectType>>>>;
    try {
      request = await kube.get(CERTIFICATE_SIGNING_REQUESTS, { name }, { signal });
    } catch (error) {
      if (!isKind(error, 'NotFound')) throw error;
      const pem = certificateRequest(key, {
        organization: 'system:nodes',
        commonName: `system:node:${nodeName}`,
        names,
      });
      await kube.create(
        CERTIFICATE_SIGNING_REQUESTS,
        {},
        {
          apiVersion: 'certificates.k8s.io/v1',
          kind: 'CertificateSigningRequest',
          metadata: { name },
          spec: {
            request: Buffer.from(pem).toString('base64'),
            signerName: 'kubernetes.io/kubelet-serving',
            usages: ['digital signature', 'server auth'],
          },
        },
        { signal },
      );
      logger.debug('certificate requested', { name });
      return 'pending';
    }
    const conditions = request.status?.conditions ?? [];
    if (conditions.some(({ type, status }) => type === 'Failed' && status !== 'False')) return 'failed';
    if (conditions.some(({ type, status }) => type === 'Denied' && status !== 'False')) return 'denied';
    const encoded = request.status?.certificate;
    if (!encoded) return 'pending';
    const issued = this.#check(Buffer.from(encoded, 'base64').toString('utf8'), key);
    return issued ?? 'failed';
  }

  /** The certificate with its key if it is one that can be used now; undefined otherwise. */
  #check(cert: string, key: KeyObject): Issued | undefined {
    const { clock, random = Math.random } = this.#deps;
    const { nodeName, names } = this.#options;
    const parsed = new X509Certificate(cert);
    const [fromMs, toMs] = [Date.parse(parsed.validFrom), Date.parse(parsed.validTo)];
    const good =
      parsed.checkPrivateKey(key) &&
      parsed.subject.split('\n').includes(`CN=system:node:${nodeName}`) &&
      names.every((name) => parsed.checkIP(name) !== undefined || parsed.checkHost(name) !== undefined) &&
      clock.nowMs() < toMs;
    if (!good) return undefined;
    const renewAtMs = fromMs + (toMs - fromMs) * (0.7 + 0.2 * random());
    return { cert, key: key.export({ type: 'pkcs8', format: 'pem' }).toString(), renewAtMs };
  }

  async #stored(): Promise<Issued | undefined> {
    const text = await readIfThere(this.#file);
    if (text === undefined) return undefined;
    try {
      return this.#check(text, createPrivateKey(text));
    } catch (error) {
      this.#deps.logger.warn('stored serving certificate is not usable, asking for a new one', {
        path: this.#file,
        err: messageOf(error),
      });
      return undefined;
    }
  }

  /** The same key until its request is answered, so that a restart asks for nothing new. */
  async #pendingKey(): Promise<KeyObject> {
    const text = await readIfThere(this.#pendingKeyFile);
    if (text !== undefined) {
      try {
        return createPrivateKey(text);
      } catch (error) {
        this.#deps.logger.warn('pending key is not usable, making a new one', { err: messageOf(error) });
      }
    }
    const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    await writeFileAtomic(this.#pendingKeyFile, privateKey.export({ type: 'pkcs8', format: 'pem' }));
    return privateKey;
  }

  #requestName(key: KeyObject): string {
    const { nodeName, names } = this.#options;
    const spki = createPublicKey(key).export({ type: 'spki', format: 'der' });
    const digest = createHash('sha256')
      .update(spki)
      .update(JSON.stringify([...names].sort()));
    return `interlink-${nodeName}-${digest.digest('hex').slice(0, 10)}`;
  }

  #adopt(issued: Issued): void {
    this.#issued = issued;
    this.#becomeReady();
    this.#next.resolve();
    this.#next = Promise.withResolvers<void>();
  }

  #tell(notice: string): void {
    if (notice === this.#notice) return;
    this.#notice = notice;
    if (notice !== '') this.#deps.logger.info('serving certificate needs an administrator', { action: notice });
    this.#options.onNotice(notice);
  }
}

async function readIfThere(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if (systemCodeOf(error) === 'ENOENT') return undefined;
    throw error;
  }
}
