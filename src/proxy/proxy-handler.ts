import type { Clock } from '../base/clock.ts';
import { codeOf, messageOf } from '../base/errors.ts';
import type { Logger } from '../base/logger.ts';
import { type ServedCall, serveSidecar } from '../contract/serve-sidecar.ts';
import type { Sidecar } from '../contract/sidecar.ts';
import type { ErrorRenderer, HttpHandler, HttpRequest, HttpResponse } from '../http/handler.ts';
import { isStreamBody } from '../http/is-stream-body.ts';
import { jsonResponse } from '../http/json-response.ts';
import type { Principal, TokenVerifier } from '../oauth/token-verifier.ts';
import type { AuditLog } from './audit-log.ts';
import { type Admission, authenticate, refusedPrincipal } from './authenticate.ts';
import type { ProxyConfig } from './config.ts';
import { hardenRequest } from './harden-request.ts';
import { IdentityLimits } from './identity-limits.ts';

export interface ProxyHandlerDeps {
  readonly sidecar: Sidecar;
  readonly verifier: TokenVerifier;
  readonly audit: AuditLog;
  readonly renderError: ErrorRenderer;
  readonly logger: Logger;
  readonly clock: Clock;
}

/** Where the proxy describes itself, without authentication. @see RFC 9728 §3 */
export const RESOURCE_METADATA_PATH = '/.well-known/oauth-protected-resource';

/** Calls whose answer may last. */
const STREAMS: ReadonlySet<string> = new Set(['/watch', '/getLogs']);

type Outcome = { readonly status: number; readonly reason: string; readonly code?: string };

/**
 * The way of every request: hardened, authenticated, admitted, audited once, then served. A refusal is answered before a byte of the body is read.
 */
export function createProxyHandler(
  config: Pick<
    ProxyConfig,
    'issuers' | 'insecureNoAuthentication' | 'publicUrl' | 'maxCallsPerIdentity' | 'maxStreamsPerIdentity'
  >,
  deps: ProxyHandlerDeps,
): HttpHandler {
  const { verifier, audit, clock, logger } = deps;
  const limits = new IdentityLimits({ maxCalls: config.maxCallsPerIdentity, maxStreams: config.maxStreamsPerIdentity });
  const calls = new WeakMap<HttpRequest, ServedCall>();
  const serve = serveSidecar(
    deps.sidecar,
    { logger },
    { hop: 'api', onCall: (request, call) => void calls.set(request, call) },
  );

  const admit = async (request: HttpRequest): Promise<Admission | undefined> => {
    hardenRequest(request);
    if (config.insecureNoAuthentication) return undefined;
    return authenticate(request, verifier, config.issuers);
  };

  const record = (
    request: HttpRequest,
    startedMs: number,
    decision: 'allow' | 'deny',
    outcome: Outcome,
    principal: Principal | undefined,
  ): void => {
    const call = calls.get(request);
    const [pod, ...others] = call?.pods ?? [];
    audit.write({
      time: new Date(clock.nowMs()).toISOString(),
      decision,
      ...outcome,
      method: request.method,
      path: request.path.slice(0, 200),
      ...(principal
        ? {
            issuer: principal.issuer,
            subject: principal.subject,
            ...(principal.clientId === undefined ? {} : { clientId: principal.clientId }),
            audiences: principal.audiences,
            tokenId: principal.tokenId,
          }
        : {}),
      ...(request.socket.remoteAddress === undefined ? {} : { remoteAddress: request.socket.remoteAddress }),
      ...(call ? { session: call.session, call: call.name } : {}),
      ...(pod && others.length === 0 ? { pod: `${pod.namespace}/${pod.name}`, podUid: pod.uid } : {}),
      ...(others.length > 0 ? { pods: others.length + 1 } : {}),
      durationMs: Math.round(clock.monotonicMs() - startedMs),
    });
  };

  return async (request) => {
    if (request.path === RESOURCE_METADATA_PATH && config.publicUrl !== undefined) return describeResource(config);
    const startedMs = clock.monotonicMs();
    let admission: Admission | undefined;
    try {
      admission = await admit(request);
    } catch (error) {
      const answer = deps.renderError(error, request);
      const outcome = { status: answer.status, reason: messageOf(error), code: codeOf(error) };
      record(request, startedMs, 'deny', outcome, refusedPrincipal(error));
      throw error;
    }
    const { principal, rule = 'no authentication' } = admission ?? {};
    const identity = principal ? `${principal.issuer} ${principal.subject}` : 'anonymous';
    let leave: () => void;
    try {
      leave = STREAMS.has(request.path) ? limits.enterStream(identity) : limits.enterCall(identity);
    } catch (error) {
      record(request, startedMs, 'deny', { status: 429, reason: messageOf(error), code: 'proxy.limit' }, principal);
      throw error;
    }
    try {
      const answer = await serve(request);
      record(request, startedMs, 'allow', { status: answer.status, reason: rule }, principal);
      if (isStreamBody(answer.body)) return { ...answer, body: counted(answer.body, leave) };
      leave();
      return answer;
    } catch (error) {
      leave();
      const answer = deps.renderError(error, request);
      record(request, startedMs, 'allow', { status: answer.status, reason: rule, code: codeOf(error) }, principal);
      throw error;
    }
  };
}

function describeResource(config: Pick<ProxyConfig, 'issuers' | 'publicUrl'>): HttpResponse {
  return jsonResponse({
    resource: config.publicUrl,
    authorization_servers: config.issuers.map(({ issuer }) => issuer),
    bearer_methods_supported: ['header'],
    resource_name: 'interlink',
  });
}

/** The stream, which is left when it ends in whatever way. */
async function* counted(body: AsyncIterable<Uint8Array>, leave: () => void): AsyncGenerator<Uint8Array, void, void> {
  try {
    yield* body;
  } finally {
    leave();
  }
}
