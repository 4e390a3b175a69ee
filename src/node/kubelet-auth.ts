import { createHash } from 'node:crypto';
import type { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import type { UserInfo } from 'kubernetes-types/authentication/v1';
import type { Clock } from '../base/clock.ts';
import { InterlinkError, messageOf } from '../base/errors.ts';
import type { Logger } from '../base/logger.ts';
import { SUBJECT_ACCESS_REVIEWS, TOKEN_REVIEWS } from '../kube/kinds.ts';
import type { KubeClient } from '../kube/kube-client.ts';
import { ExpiringCache } from './expiring-cache.ts';

export interface KubeletAuthDeps {
  readonly kube: KubeClient;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** What a caller wants: one of `subresources` of `nodes` with `verb`. The first that is allowed is enough. */
export interface KubeletAccess {
  readonly verb: string;
  readonly subresources: readonly string[];
}

/** What a request says of who sent it. */
export interface KubeletCaller {
  readonly socket: Socket;
  /** The `Authorization` header. */
  readonly authorization: string | undefined;
  readonly signal: AbortSignal;
}

/**
 * Lets nobody in whom the cluster does not know and allow: a caller is known by a client certificate of the cluster's authority or by a token that TokenReview
 * confirms, and allowed by SubjectAccessReview. Answers are remembered (yes 2 min, no 10 s); an API server that does not answer means no.
 */
export interface KubeletAuth {
  /**
   * Resolves with the caller when the access is allowed.
   * @throws Unauthenticated, Forbidden, or Unavailable when the API server cannot be asked.
   */
  check(caller: KubeletCaller, access: KubeletAccess): Promise<UserInfo>;
}

const ALLOWED_MS = 120_000;
const DENIED_MS = 10_000;
const ENTRIES = 2_000;
/** Longer ones are no tokens; they are not worth a request. */
const TOKEN_BYTES = 16_384;

/** Asks nothing until it is asked. */
export function createKubeletAuth(deps: KubeletAuthDeps, options: { readonly nodeName: string }): KubeletAuth {
  const { kube, clock, logger } = deps;
  const users = new ExpiringCache<UserInfo | undefined>(clock, ENTRIES);
  const decisions = new ExpiringCache<boolean>(clock, ENTRIES);

  async function userOfToken(token: string, signal: AbortSignal): Promise<UserInfo | undefined> {
    const key = createHash('sha256').update(token).digest('base64');
    const known = users.get(key);
    if (known !== undefined) return known.value;
    const review = await ask('token review', () =>
      kube.create(
        TOKEN_REVIEWS,
        {},
        { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenReview', spec: { token } },
        { signal },
      ),
    );
    const user = review.status?.authenticated === true ? review.status.user : undefined;
    users.set(key, user, user === undefined ? DENIED_MS : ALLOWED_MS);
    return user;
  }

  async function allows(user: UserInfo, verb: string, subresource: string, signal: AbortSignal): Promise<boolean> {
    const spec = {
      user: user.username ?? '',
      groups: user.groups ?? [],
      ...(user.uid === undefined ? {} : { uid: user.uid }),
      ...(user.extra === undefined ? {} : { extra: user.extra }),
      resourceAttributes: { verb, version: 'v1', resource: 'nodes', subresource, name: options.nodeName },
    };
    const key = JSON.stringify(spec);
    const known = decisions.get(key);
    if (known !== undefined) return known.value;
    const review = await ask('access review', () =>
      kube.create(
        SUBJECT_ACCESS_REVIEWS,
        {},
        { apiVersion: 'authorization.k8s.io/v1', kind: 'SubjectAccessReview', spec },
        { signal },
      ),
    );
    const allowed = review.status?.allowed === true && review.status.denied !== true;
    decisions.set(key, allowed, allowed ? ALLOWED_MS : DENIED_MS);
    return allowed;
  }

  /** A failure of ours (not allowed to ask, API server away) must not look like a decision about the caller. */
  async function ask<T>(what: string, review: () => Promise<T>): Promise<T> {
    try {
      return await review();
    } catch (error) {
      logger.warn('caller of the kubelet API cannot be checked', { review: what, err: messageOf(error) });
      throw new InterlinkError('Unavailable', `${what} failed; the log of the node has the details`, { cause: error });
    }
  }

  return {
    async check({ socket, authorization, signal }, { verb, subresources }) {
      const user = userOfCertificate(socket) ?? (await userOfHeader(authorization, signal));
      for (const subresource of subresources) if (await allows(user, verb, subresource, signal)) return user;
      throw new InterlinkError(
        'Forbidden',
        `Forbidden (user=${user.username}, verb=${verb}, resource=nodes, subresource(s)=[${subresources.join(' ')}])`,
      );
    },
  };

  async function userOfHeader(authorization: string | undefined, signal: AbortSignal): Promise<UserInfo> {
    const token = /^Bearer +(\S+) *$/i.exec(authorization ?? '')?.[1];
    const user = token === undefined || token.length > TOKEN_BYTES ? undefined : await userOfToken(token, signal);
    if (!user?.username) throw new InterlinkError('Unauthenticated', 'Unauthorized');
    return user;
  }
}

/** The user that a verified client certificate names; undefined without one. The server verifies against the cluster's authorities only. */
function userOfCertificate(socket: Socket): UserInfo | undefined {
  if (!(socket instanceof TLSSocket) || !socket.authorized) return undefined;
  const subject: Readonly<Record<string, string | string[] | undefined>> = Object(socket.getPeerCertificate().subject);
  const { CN: username, O: organization } = subject;
  // Two common names would be two users.
  if (typeof username !== 'string' || username === '') return undefined;
  const groups = organization === undefined ? [] : [organization].flat();
  return { username, groups: [...groups, 'system:authenticated'] };
}
