import type { Clock } from '../base/clock.ts';
import { InterlinkError, isKind, kindOf } from '../base/errors.ts';
import type { Secret } from '../base/secret.ts';
import { renderAddress } from '../http/address.ts';
import type { ClientResponse, HttpClient } from '../http/http-client.ts';
import { parseJson } from '../http/parse-json.ts';
import type { CapabilityDocument } from './capabilities.ts';
import { peerError, quote } from './peer-error.ts';
import type { CallOptions } from './sidecar.ts';
import { wireCheck } from './wire-check.ts';
import { capabilitiesSchema } from './wire-schemas.ts';

/** One request to a peer. */
export interface PeerCall {
  readonly name: string;
  readonly method: string;
  readonly path: string;
  readonly body?: string;
  readonly headersTimeoutMs: number;
  readonly idleTimeoutMs?: number;
  readonly stream?: boolean;
  /** Whether a second request does no harm when the connection broke before the answer. */
  readonly repeatable: boolean;
}

export interface RemotePeerDeps {
  readonly client: HttpClient;
  readonly clock: Clock;
  readonly token?: ((options: { readonly signal: AbortSignal }) => Promise<Secret | undefined>) | undefined;
}

/** Capabilities are asked again after this time, as the peer may have been replaced by another version in silence. */
const CAPABILITIES_AGE_MS = 60_000;
const CAPABILITIES_TIMEOUT_MS = 10_000;
const MAX_ERROR_BYTES = 64 * 1024;
const MAX_ANSWER_BYTES = 64 * 1024 * 1024;
const QUOTE_BYTES = 512;

const LEGACY: CapabilityDocument = { apiVersion: 'interlink/v1', name: 'legacy', version: '', capabilities: [] };

/** One peer that speaks the REST contract: tokens, retries of broken connections, errors, and what it can do. */
export class RemotePeer {
  readonly #deps: RemotePeerDeps;
  readonly #where: string;
  #known: { readonly document: CapabilityDocument; readonly atMs: number } | undefined;

  constructor(deps: RemotePeerDeps) {
    this.#deps = deps;
    this.#where = renderAddress(deps.client.address);
  }

  /**
   * An answer with a status of 2xx.
   * @throws as the client does, else what the answer means; a 401 is tried once more when the token source has a new token by then.
   */
  async call(call: PeerCall, options: CallOptions): Promise<ClientResponse> {
    const what = `${this.#where}: ${call.name}`;
    const token = await this.#deps.token?.(options);
    let answer = await this.#send(call, options, token);
    if (answer.status === 401 && token !== undefined) {
      const fresh = await this.#deps.token?.(options);
      if (fresh !== undefined && fresh.reveal() !== token.reveal()) {
        await answer.discard();
        answer = await this.#send(call, options, fresh);
      }
    }
    if (answer.status >= 200 && answer.status < 300) return answer;
    const error = peerError({
      what,
      status: answer.status,
      contentType: String(answer.headers['content-type'] ?? ''),
      authenticate: String(answer.headers['www-authenticate'] ?? ''),
      body: await firstBytes(answer),
    });
    if (isKind(error, 'Unsupported', 'Unavailable')) this.forget();
    throw error;
  }

  /** The JSON of a 2xx answer. @throws Unavailable quoting the beginning of anything else. */
  async callJson(call: PeerCall, options: CallOptions): Promise<unknown> {
    const answer = await this.call(call, options);
    const bytes = await answer.bytes(MAX_ANSWER_BYTES);
    return this.understood(call.name, () => parseJson(bytes, 'the answer'), bytes);
  }

  /** Runs a decoder over an answer: what it calls Invalid is the peer's fault, not the caller's, and may be better next time. */
  understood<T>(name: string, decode: () => T, bytes?: Uint8Array): T {
    try {
      return decode();
    } catch (error) {
      if (kindOf(error) !== 'Invalid') throw error;
      const said = bytes === undefined ? '' : quote(Buffer.from(bytes.subarray(0, QUOTE_BYTES)).toString('utf8'));
      throw new InterlinkError(
        'Unavailable',
        `${this.#where}: ${name} was answered with something else than the contract says (${(error as Error).message})${said}`,
        { code: 'peer.answer', cause: error },
      );
    }
  }

  /**
   * What the peer offers; one that does not know the call is a legacy peer with nothing. Kept for a minute, until a call fails.
   */
  async capabilities(options: CallOptions): Promise<CapabilityDocument> {
    const now = this.#deps.clock.monotonicMs();
    if (this.#known && now - this.#known.atMs < CAPABILITIES_AGE_MS) return this.#known.document;
    const document = await this.#probe(options);
    this.#known = { document, atMs: now };
    return document;
  }

  /** Makes the next look at the capabilities ask the peer. */
  forget(): void {
    this.#known = undefined;
  }

  async #probe(options: CallOptions): Promise<CapabilityDocument> {
    const call: PeerCall = {
      name: 'capabilities',
      method: 'GET',
      path: '/capabilities',
      headersTimeoutMs: CAPABILITIES_TIMEOUT_MS,
      repeatable: true,
    };
    let value: unknown;
    try {
      value = await this.callJson(call, options);
    } catch (error) {
      if (isKind(error, 'NotFound', 'Unsupported')) return LEGACY;
      throw error;
    }
    return this.understood(call.name, () => {
      wireCheck(capabilitiesSchema, value, 'capabilities');
      return value as CapabilityDocument;
    });
  }

  async #send(call: PeerCall, options: CallOptions, token: Secret | undefined): Promise<ClientResponse> {
    const request = {
      method: call.method,
      path: call.path,
      headers: {
        accept: 'application/json, */*;q=0.5',
        ...(call.body === undefined ? {} : { 'content-type': 'application/json' }),
        ...(token === undefined ? {} : { authorization: `Bearer ${token.reveal().trim()}` }),
        ...(options.session === undefined ? {} : { 'interlink-http-session': options.session }),
      },
      ...(call.body === undefined ? {} : { body: call.body }),
      signal: options.signal,
      headersTimeoutMs: call.headersTimeoutMs,
      ...(call.idleTimeoutMs === undefined ? {} : { idleTimeoutMs: call.idleTimeoutMs }),
      ...(call.stream === undefined ? {} : { stream: call.stream }),
    };
    try {
      return await this.#deps.client.request(request);
    } catch (error) {
      options.signal.throwIfAborted();
      this.forget();
      // A peer may close a connection that it kept alive at the very moment when we use it.
      if (call.repeatable && (error as InterlinkError).code === 'http.client.broken')
        return this.#deps.client.request(request);
      throw error;
    }
  }
}

async function firstBytes(answer: ClientResponse): Promise<string> {
  const parts: Uint8Array[] = [];
  let size = 0;
  try {
    for await (const chunk of answer.body) {
      parts.push(chunk);
      size += chunk.length;
      if (size >= MAX_ERROR_BYTES) break;
    }
  } catch {
    // The status tells enough; a body that breaks off only shortens the message.
  }
  return Buffer.concat(parts).subarray(0, MAX_ERROR_BYTES).toString('utf8');
}
