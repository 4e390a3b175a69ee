import { readFile } from 'node:fs/promises';
import type { Clock } from '../base/clock.ts';
import { InterlinkError, messageOf } from '../base/errors.ts';
import { Secret } from '../base/secret.ts';
import type { KubeCredentials } from './kube-connection.ts';

/** Where a user's credentials come from; texts are PEM, `exec` runs a credential plugin. */
export interface CredentialPlan {
  readonly token?: Secret;
  readonly tokenFile?: string;
  readonly certificate?: string;
  readonly certificateFile?: string;
  readonly key?: Secret;
  readonly keyFile?: string;
  readonly exec?: (signal: AbortSignal) => Promise<{ credentials: KubeCredentials; expiresAtMs?: number }>;
}

/** Tokens of service accounts rotate hourly and the old one lives on for a while, so a minute is soon enough. */
const REREAD_MS = 60_000;
/** A plugin's credential is replaced this long before it ends. */
const EXPIRY_MARGIN_MS = 30_000;

/** `KubeConnection.credentials` of a plan: remembers what it read, reads again after a minute, near the end of a credential, or when asked. */
export function credentialSource(
  plan: CredentialPlan,
  clock: Clock,
): (options: { readonly refresh: boolean; readonly signal: AbortSignal }) => Promise<KubeCredentials> {
  let known: { readonly credentials: KubeCredentials; readonly untilMs: number } | undefined;
  let reading: Promise<KubeCredentials> | undefined;

  async function read(signal: AbortSignal): Promise<KubeCredentials> {
    if (plan.exec !== undefined) {
      const { credentials, expiresAtMs } = await plan.exec(signal);
      const lifeMs = expiresAtMs === undefined ? Number.POSITIVE_INFINITY : expiresAtMs - clock.nowMs();
      known = { credentials, untilMs: clock.monotonicMs() + lifeMs - EXPIRY_MARGIN_MS };
      return credentials;
    }
    const token = plan.tokenFile === undefined ? plan.token : new Secret((await readCredential(plan.tokenFile)).trim());
    const certificate =
      plan.certificateFile === undefined ? plan.certificate : await readCredential(plan.certificateFile);
    const key = plan.keyFile === undefined ? plan.key : new Secret(await readCredential(plan.keyFile));
    const credentials: KubeCredentials = {
      ...(token === undefined ? {} : { token }),
      ...(certificate === undefined || key === undefined ? {} : { certificate: { certificate, key } }),
    };
    const fixed = [plan.tokenFile, plan.certificateFile, plan.keyFile].every((file) => file === undefined);
    known = { credentials, untilMs: fixed ? Number.POSITIVE_INFINITY : clock.monotonicMs() + REREAD_MS };
    return credentials;
  }

  return async ({ refresh, signal }) => {
    if (!refresh && known !== undefined && clock.monotonicMs() < known.untilMs) return known.credentials;
    // Requests that come together share one reading, so that a plugin is not started for each; the abort of one must not fail the others.
    reading ??= read(new AbortController().signal).finally(() => {
      reading = undefined;
    });
    return orAborted(reading, signal);
  };
}

async function orAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  signal.throwIfAborted();
  const settled = new AbortController();
  const aborted = Promise.withResolvers<never>();
  signal.addEventListener('abort', () => aborted.reject(signal.reason), { once: true, signal: settled.signal });
  try {
    return await Promise.race([promise, aborted.promise]);
  } finally {
    settled.abort();
  }
}

async function readCredential(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    throw new InterlinkError('Unauthenticated', `${path}: credential cannot be read: ${messageOf(error)}`, {
      code: 'kube.credentials',
      cause: error,
    });
  }
}
