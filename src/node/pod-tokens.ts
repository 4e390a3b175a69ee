import { Backoff } from '../base/backoff.ts';
import type { Clock } from '../base/clock.ts';
import { InterlinkError, messageOf } from '../base/errors.ts';
import type { Logger } from '../base/logger.ts';
import type { TokenAsk } from '../contract/object-source.ts';
import { TOKEN_REQUESTS } from '../kube/kinds.ts';
import type { KubeClient } from '../kube/kube-client.ts';

export interface PodTokensDeps {
  readonly kube: KubeClient;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly random?: () => number;
}

/** @see https://github.com/kubernetes/kubernetes/blob/v1.36.3/pkg/kubelet/token/token_manager.go */
const RENEW_PART = 0.8;
const MAX_AGE_MS = 24 * 3600_000;
const JITTER_MS = 10_000;
/** Of an answer that does not say how long its token lives, which no API server gives. */
const DEFAULT_SECONDS = 3600;
const RETRY = { initialMs: 5_000, maxMs: 60_000 };

interface Token {
  readonly text: string;
  readonly expiresMs: number;
  renewMs: number;
  readonly backoff: Backoff;
}

/**
 * The service account tokens of one pod. A token is asked for again after 80 % of its life, after 24 hours at the latest, up to 10 s earlier. Times are
 * counted from the answer, so the clocks of the API server and of this machine may differ.
 */
export class PodTokens {
  readonly #deps: PodTokensDeps;
  readonly #tokens = new Map<string, Token>();

  constructor(deps: PodTokensDeps) {
    this.#deps = deps;
  }

  /** Monotonic time at which the first of the tokens should be asked for again; undefined without tokens. */
  get renewMs(): number | undefined {
    const times = [...this.#tokens.values()].map(({ renewMs }) => renewMs);
    return times.length === 0 ? undefined : Math.min(...times);
  }

  /**
   * The token, new or known. One that cannot be renewed is given as long as it lives, and renewed later.
   * @throws the API server's refusal when there is none, `signal.reason` on abort
   */
  async get(ask: TokenAsk, signal: AbortSignal): Promise<string> {
    const { clock, logger } = this.#deps;
    const key = JSON.stringify([ask.serviceAccount, ask.audience, ask.expirationSeconds]);
    const known = this.#tokens.get(key);
    if (known && clock.monotonicMs() < known.renewMs) return known.text;
    try {
      const token = await this.#ask(ask, signal);
      this.#tokens.set(key, token);
      return token.text;
    } catch (error) {
      signal.throwIfAborted();
      if (!known || clock.monotonicMs() >= known.expiresMs) throw error;
      known.renewMs = clock.monotonicMs() + known.backoff.next();
      logger.warn('token of a service account not renewed, will retry', {
        namespace: ask.namespace,
        pod: ask.podName,
        podUid: ask.podUid,
        err: messageOf(error),
      });
      return known.text;
    }
  }

  async #ask(ask: TokenAsk, signal: AbortSignal): Promise<Token> {
    const { kube, clock, random = Math.random } = this.#deps;
    const { namespace, serviceAccount: name, audience, expirationSeconds, podName, podUid } = ask;
    const askedMs = clock.monotonicMs();
    const { spec, status } = await kube.create(
      TOKEN_REQUESTS,
      { namespace, name, subresource: 'token' },
      {
        apiVersion: 'authentication.k8s.io/v1',
        kind: 'TokenRequest',
        spec: {
          audiences: audience === undefined ? [] : [audience],
          ...(expirationSeconds === undefined ? {} : { expirationSeconds }),
          boundObjectRef: { apiVersion: 'v1', kind: 'Pod', name: podName, uid: podUid },
        },
      },
      { signal },
    );
    if (!status?.token)
      throw new InterlinkError('Unavailable', `serviceaccounts ${JSON.stringify(name)}: the API server gave no token`);
    const lifeMs = 1_000 * (spec?.expirationSeconds ?? expirationSeconds ?? DEFAULT_SECONDS);
    return {
      text: status.token,
      expiresMs: askedMs + lifeMs,
      renewMs: askedMs + Math.min(lifeMs * RENEW_PART, MAX_AGE_MS) - JITTER_MS * random(),
      backoff: new Backoff({ ...RETRY, random }),
    };
  }
}
