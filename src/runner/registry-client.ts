import { createHash } from 'node:crypto';
import { Agent as HttpAgent, type IncomingHttpHeaders, STATUS_CODES, request as startPlain } from 'node:http';
import { Agent as HttpsAgent, request as startSecure } from 'node:https';
import { getCACertificates } from 'node:tls';
import { InterlinkError, messageOf, systemCodeOf } from '../base/errors.ts';
import { type ImageReference, renderReference } from '../contract/image-reference.ts';
import { networkWords } from './network-words.ts';
import { parseChallenge, type RegistryChallenge } from './registry-challenge.ts';
import type { RegistryCredential } from './registry-keyring.ts';

export interface RegistryClientOptions {
  /** `HTTP_PROXY`, `HTTPS_PROXY` and `NO_PROXY` of the site, in either case. */
  readonly environment: Readonly<Record<string, string>>;
  /** Whether a registry is asked by plain HTTP. */
  readonly isPlain: (domain: string) => boolean;
  /** Certificates do not count, and a registry that does not know TLS is asked by plain HTTP. */
  readonly isInsecure?: boolean;
}

/** What a registry says of an image. */
export interface RegistryAnswer {
  /** Of the manifest, or of the list of manifests for several platforms: what a kubelet shows. */
  readonly digest: string;
  /** Whether it wanted a login and took the one that it was shown. */
  readonly usedCredential: boolean;
}

/** Everything that a pull takes may be a manifest; indexes are wanted, as their digest is the same on each platform. */
const MANIFEST_TYPES = [
  'application/vnd.oci.image.index.v1+json',
  'application/vnd.docker.distribution.manifest.list.v2+json',
  'application/vnd.oci.image.manifest.v1+json',
  'application/vnd.docker.distribution.manifest.v2+json',
].join(', ');
const DIGEST = /^sha256:[0-9a-f]{64}$/;
const TIMEOUT_MS = 30_000;
const MAX_MANIFEST_BYTES = 4 * 1024 * 1024;
const MAX_TOKEN_BYTES = 256 * 1024;
const MAX_REDIRECTS = 5;

interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
}

/**
 * Asks registries what a name stands for, and nothing else; what it learns makes a download needless or exact. Nothing is opened before the first question.
 *
 * @see https://github.com/opencontainers/distribution-spec/blob/main/spec.md
 * @see https://distribution.github.io/distribution/spec/auth/token/
 */
export class RegistryClient implements Disposable {
  readonly #options: RegistryClientOptions;
  readonly #agents = new Map<string, HttpAgent>();

  constructor(options: RegistryClientOptions) {
    this.#options = options;
  }

  /**
   * The digest behind a name. Each credential is tried until one is good; without any the registry is asked as by anybody.
   * @throws Unavailable with code `ErrImagePull` in the words of a kubelet's runtime, containerd; `signal.reason`
   */
  async resolve(
    reference: ImageReference,
    credentials: readonly RegistryCredential[],
    signal: AbortSignal,
  ): Promise<RegistryAnswer & { readonly credential?: RegistryCredential }> {
    const causes: string[] = [];
    for (const credential of credentials.length === 0 ? [undefined] : credentials)
      try {
        const answer = await this.#ask(reference, credential, signal);
        return { ...answer, ...(credential && answer.usedCredential && { credential }) };
      } catch (error) {
        signal.throwIfAborted();
        const words = messageOf(error);
        if (!causes.includes(words)) causes.push(words);
      }
    const name = renderReference(reference);
    const why = causes.length === 1 ? causes[0] : `[${causes.join(', ')}]`;
    throw new InterlinkError(
      'Unavailable',
      `failed to pull and unpack image "${name}": failed to resolve reference "${name}": ${why}`,
      { code: 'ErrImagePull' },
    );
  }

  [Symbol.dispose](): void {
    for (const agent of this.#agents.values()) agent.destroy();
  }

  async #ask(
    reference: ImageReference,
    credential: RegistryCredential | undefined,
    signal: AbortSignal,
  ): Promise<RegistryAnswer> {
    const { domain, path, tag = 'latest', digest } = reference;
    const scheme = this.#options.isPlain(domain) ? 'http' : 'https';
    const host = domain === 'docker.io' ? 'registry-1.docker.io' : domain;
    const url = new URL(`${scheme}://${host}/v2/${path}/manifests/${digest ?? tag}`);
    const name = renderReference(reference);
    const accept = { accept: MANIFEST_TYPES };
    let authorization: string | undefined;
    let answer = await this.#send('HEAD', url, accept, signal).catch((error: unknown) => {
      if (!this.#options.isInsecure || !isNoTls(error)) throw error;
      url.protocol = 'http:';
      return this.#send('HEAD', url, accept, signal);
    });
    if (answer.status === 401) {
      const challenge = parseChallenge(String(answer.headers['www-authenticate'] ?? ''));
      authorization = await this.#authorize(challenge, url, path, credential, signal);
      if (authorization !== undefined) answer = await this.#send('HEAD', url, { ...accept, authorization }, signal);
    }
    const isSilent = answer.status === 405 || (answer.status === 200 && digestOf(answer) === undefined);
    if (isSilent) answer = await this.#send('GET', url, { ...accept, ...(authorization && { authorization }) }, signal);
    if (answer.status === 401 || answer.status === 403)
      throw new Error(
        `pull access denied, repository does not exist or may require authorization: ${credential ? 'the registry refused the login of the pod' : `no login; give the pod imagePullSecrets for ${domain}`}`,
      );
    if (answer.status === 404) throw new Error(`${name}: not found (manifest unknown)`);
    if (answer.status !== 200) throw unexpected('HEAD', url, answer);
    const found = digestOf(answer) ?? `sha256:${createHash('sha256').update(answer.body).digest('hex')}`;
    return { digest: found, usedCredential: credential !== undefined && authorization !== undefined };
  }

  /** The header with which to ask again; undefined when there is nothing to show. */
  async #authorize(
    challenge: RegistryChallenge | undefined,
    url: URL,
    path: string,
    credential: RegistryCredential | undefined,
    signal: AbortSignal,
  ): Promise<string | undefined> {
    const basic =
      credential && `Basic ${Buffer.from(`${credential.username}:${credential.password.reveal()}`).toString('base64')}`;
    if (challenge?.scheme !== 'bearer') return challenge?.scheme === 'basic' ? basic : undefined;
    const realm = URL.parse(challenge.parameters.get('realm') ?? '');
    // A login goes in the clear only where the registry itself is asked so.
    if (!realm || (realm.protocol !== 'https:' && realm.protocol !== url.protocol))
      throw new Error(
        `the registry wants a token from ${JSON.stringify(realm?.origin ?? 'nowhere')}, which is not https`,
      );
    const service = challenge.parameters.get('service');
    if (service !== undefined) realm.searchParams.set('service', service);
    realm.searchParams.set('scope', challenge.parameters.get('scope') ?? `repository:${path}:pull`);
    const answer = await this.#send('GET', realm, basic === undefined ? {} : { authorization: basic }, signal);
    if (answer.status !== 200)
      throw new Error(
        `failed to authorize: failed to fetch ${basic === undefined ? 'anonymous' : 'oauth'} token: ${unexpected('GET', realm, answer).message}`,
      );
    const token = tokenOf(answer.body);
    if (token === undefined) throw new Error(`failed to authorize: ${realm.origin} answered without a token`);
    return `Bearer ${token}`;
  }

  /** Follows redirects; what proves who we are stays with the first host. */
  async #send(
    method: 'HEAD' | 'GET',
    first: URL,
    headers: Readonly<Record<string, string>>,
    signal: AbortSignal,
  ): Promise<Answer> {
    let url = first;
    let sent = headers;
    for (let turn = 0; turn <= MAX_REDIRECTS; turn += 1) {
      const answer = await this.#request(method, url, sent, signal);
      const location = answer.headers.location;
      if (![301, 302, 303, 307, 308].includes(answer.status) || typeof location !== 'string') return answer;
      const next = URL.parse(location, url.href);
      if (!next || (next.protocol !== 'https:' && next.protocol !== url.protocol))
        throw new Error(`${url.origin} redirects to ${JSON.stringify(next?.origin ?? location)}, which is not https`);
      if (next.host !== url.host)
        sent = Object.fromEntries(Object.entries(sent).filter(([key]) => key !== 'authorization'));
      url = next;
    }
    throw new Error(`${first.origin} redirects too often`);
  }

  async #request(
    method: 'HEAD' | 'GET',
    url: URL,
    headers: Readonly<Record<string, string>>,
    signal: AbortSignal,
  ): Promise<Answer> {
    try {
      return await new Promise<Answer>((resolve, reject) => {
        const options = {
          method,
          headers: { 'user-agent': 'interlink', ...headers },
          agent: this.#agentFor(url),
          signal,
          timeout: TIMEOUT_MS,
        };
        const call = (url.protocol === 'https:' ? startSecure : startPlain)(url, options, (response) => {
          const limit = url.pathname.startsWith('/v2/') ? MAX_MANIFEST_BYTES : MAX_TOKEN_BYTES;
          collect(response, limit).then(
            (body) => resolve({ status: response.statusCode ?? 0, headers: response.headers, body }),
            reject,
          );
        });
        call.once('timeout', () => call.destroy(Object.assign(new Error('no answer in time'), { code: 'ETIMEDOUT' })));
        call.once('error', reject);
        call.end();
      });
    } catch (error) {
      signal.throwIfAborted();
      const verb = `${method[0]}${method.slice(1).toLowerCase()}`;
      // Without its query, in which a registry may have put what is nobody's business.
      throw new Error(`failed to do request: ${verb} "${url.origin}${url.pathname}": ${networkWords(error, url)}`, {
        cause: error,
      });
    }
  }

  #agentFor({ protocol }: URL): HttpAgent {
    const known = this.#agents.get(protocol);
    if (known) return known;
    const { environment, isInsecure = false } = this.#options;
    const agent =
      protocol === 'https:'
        ? new HttpsAgent({ proxyEnv: environment, ca: trustedAuthorities(), rejectUnauthorized: !isInsecure })
        : new HttpAgent({ proxyEnv: environment });
    this.#agents.set(protocol, agent);
    return agent;
  }
}

/** Whether the other side has answered in the clear. */
function isNoTls(error: unknown): boolean {
  return error instanceof Error && /^(ERR_SSL_|EPROTO)/.test(systemCodeOf(error.cause) ?? '');
}

/** Those of the worker: sites have authorities of their own. */
function trustedAuthorities(): string[] {
  const own = getCACertificates('system');
  return own.length > 0 ? own : getCACertificates('default');
}

async function collect(body: AsyncIterable<Buffer>, limit: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of body) {
    size += chunk.length;
    if (size > limit) throw new Error(`the answer is larger than ${limit} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

function digestOf({ headers }: Answer): string | undefined {
  const digest = headers['docker-content-digest'];
  return typeof digest === 'string' && DIGEST.test(digest) ? digest : undefined;
}

function tokenOf(body: Buffer): string | undefined {
  try {
    const { token, access_token: other } = JSON.parse(body.toString('utf8')) as Record<string, unknown>;
    const found = token ?? other;
    return typeof found === 'string' && /^[\x21-\x7e]+$/.test(found) ? found : undefined;
  } catch {
    // The parser's words would quote the token.
    return undefined;
  }
}

function unexpected(method: string, url: URL, { status, body }: Answer): Error {
  const words = registryWords(body);
  return new Error(
    `unexpected status from ${method} request to ${url.origin}${url.pathname}: ${status} ${STATUS_CODES[status] ?? ''}${words}`,
  );
}

/** The messages of the errors in an answer, e.g. that too much was pulled. */
function registryWords(body: Buffer): string {
  try {
    const { errors } = JSON.parse(body.toString('utf8')) as { errors?: { code?: string; message?: string }[] };
    const words = (errors ?? []).map(({ code, message }) => [code?.toLowerCase(), message].filter(Boolean).join(': '));
    return words.length === 0 ? '' : ` (${words.join('; ').slice(0, 500)})`;
  } catch {
    return '';
  }
}
