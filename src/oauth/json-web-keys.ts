import { readFile, stat } from 'node:fs/promises';
import { createLocalJWKSet, type JSONWebKeySet, type JWTVerifyGetKey, errors as joseErrors } from 'jose';
import type { Clock } from '../base/clock.ts';
import { InterlinkError, isKind, messageOf } from '../base/errors.ts';
import type { Logger } from '../base/logger.ts';
import { discoverIssuer } from './discover.ts';
import { fetchJson } from './fetch-json.ts';
import type { IssuerConfig } from './issuer-config.ts';

export interface JsonWebKeysDeps {
  readonly clock: Clock;
  readonly logger: Logger;
}

/** The signing keys of one issuer. */
export interface JsonWebKeys {
  /** Grows with each change of the keys; what was verified with an older generation is no longer certain. */
  readonly generation: number;
  /**
   * For jose: the key that a token names.
   * @throws Unavailable while the issuer has never been reached; jose's error when it has no such key.
   */
  readonly find: JWTVerifyGetKey;
  /** Fetches the keys now unless they are fresh; for the start, so that the first caller does not wait. */
  warmUp(): Promise<void>;
}

/** WLCG profile 1.3 §4.3.1: refresh every 6 h, go on with old keys for at least a day when the issuer is away. */
const REFRESH_MS = 6 * 3600_000;
const STALE_MS = 48 * 3600_000;
/** A key that is not there makes us look again, but not more often, or a stranger could make us hammer the issuer. */
const UNKNOWN_KEY_MS = 30_000;
const RETRY_MS = 5_000;
const FETCH_LIMIT_MS = 30_000;

/**
 * The keys of an issuer, fetched on first use. One fetch at a time; after a failure none for 5 s. Keys older than 6 h are used while new ones are fetched, and for 48 h when
 * the issuer is down. Time only passes in `clock`; nothing runs by itself.
 */
export function createJsonWebKeys(config: IssuerConfig, deps: JsonWebKeysDeps): JsonWebKeys {
  const { clock } = deps;
  const logger = deps.logger.child({ issuer: config.issuer });
  let current: { readonly resolve: JWTVerifyGetKey; readonly text: string; atMs: number } | undefined;
  let generation = 0;
  let running: Promise<void> | undefined;
  let lastTryMs = Number.NEGATIVE_INFINITY;
  let lastError: unknown;
  let failing = false;
  let fileState = '';

  const load = async (): Promise<void> => {
    try {
      const keySet = await readKeySet(config);
      const text = JSON.stringify(keySet);
      if (current?.text !== text) generation += 1;
      current = { resolve: createLocalJWKSet(keySet), text, atMs: clock.monotonicMs() };
      if (failing) logger.info('keys of the issuer fetched again');
      failing = false;
      lastError = undefined;
    } catch (error) {
      lastError = error;
      if (!failing) logger.warn('keys of the issuer cannot be fetched', { stale: current !== undefined, err: error });
      failing = true;
    }
  };

  const refresh = (): Promise<void> => {
    if (running) return running;
    lastTryMs = clock.monotonicMs();
    running = load().finally(() => {
      running = undefined;
    });
    return running;
  };

  const mayTry = (afterMs: number): boolean => running !== undefined || clock.monotonicMs() - lastTryMs >= afterMs;

  const usable = async (): Promise<JWTVerifyGetKey> => {
    if (config.jwksFile !== undefined) {
      const state = await stat(config.jwksFile).then(
        ({ ino, size, mtimeMs }) => `${ino}:${size}:${mtimeMs}`,
        () => fileState,
      );
      if (state !== fileState) await refresh();
      fileState = state;
    }
    const ageMs = current === undefined ? Number.POSITIVE_INFINITY : clock.monotonicMs() - current.atMs;
    if (ageMs >= STALE_MS && mayTry(RETRY_MS)) await refresh();
    else if (ageMs >= REFRESH_MS && mayTry(RETRY_MS)) void refresh();
    if (current !== undefined && clock.monotonicMs() - current.atMs < STALE_MS) return current.resolve;
    throw new InterlinkError(
      'Unavailable',
      `the keys of ${config.issuer} cannot be had (${messageOf(lastError)}); try again later`,
      { code: 'oauth.keys', cause: lastError },
    );
  };

  return {
    get generation() {
      return generation;
    },

    async find(header, token) {
      const resolve = await usable();
      try {
        return await resolve(header, token);
      } catch (error) {
        if (!(error instanceof joseErrors.JWKSNoMatchingKey) || !mayTry(UNKNOWN_KEY_MS)) throw error;
        await refresh();
        return (await usable())(header, token);
      }
    },

    async warmUp() {
      try {
        await usable();
      } catch (error) {
        // Logged where it happened; the first caller tries again.
        if (!isKind(error, 'Unavailable')) throw error;
      }
    },
  };
}

async function readKeySet(config: IssuerConfig): Promise<JSONWebKeySet> {
  const document = config.jwksFile === undefined ? await fetchKeys(config) : await readKeys(config.jwksFile);
  const keys = (document as { readonly keys?: unknown } | null)?.keys;
  if (!Array.isArray(keys))
    throw new InterlinkError('Unavailable', `${config.jwksFile ?? config.issuer}: its key set has no list of keys`, {
      code: 'oauth.keys',
    });
  return document as JSONWebKeySet;
}

async function fetchKeys(config: IssuerConfig): Promise<unknown> {
  const options = { caFile: config.caFile, signal: AbortSignal.timeout(FETCH_LIMIT_MS) };
  const url = config.jwksUri ?? (await discoverIssuer(config.issuer, options)).jwksUri;
  return fetchJson(url, options);
}

async function readKeys(path: string): Promise<unknown> {
  try {
    return JSON.parse(await readFile(path, 'utf8'));
  } catch (error) {
    throw new InterlinkError('Unavailable', `${path}: no key set: ${messageOf(error)}`, {
      code: 'oauth.keys',
      cause: error,
    });
  }
}
