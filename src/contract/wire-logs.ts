import { InterlinkError, isKind } from '../base/errors.ts';
import { parsePodRef } from './pod-ref.ts';
import type { LogOptions, LogRequest } from './sidecar.ts';
import { wireCheck } from './wire-check.ts';
import { canonicalKeys, isJsonObject, type JsonObject } from './wire-keys.ts';
import { logRequestSchema } from './wire-schemas.ts';

const KEYS = ['Namespace', 'PodUID', 'PodName', 'ContainerName', 'Opts'] as const;
const OPTION_KEYS = [
  'Tail',
  'TailLines',
  'Bytes',
  'LimitBytes',
  'Timestamps',
  'Follow',
  'Previous',
  'Attempt',
  'SinceSeconds',
  'SinceTime',
] as const;

/** Go's zero time: `SinceTime` is always sent and means nothing then. */
const ZERO_TIME = '0001-01-01T00:00:00Z';
const DNS_LABEL = /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/;
const NAME = 'default-name';

/** The body of `/getLogs`, the same on both hops. */
export const wireLogs = {
  /**
   * `forPlugin` adds `LimitBytes` beside `Bytes`, which plugins made with the Python kit read. Peers refuse a tail together with a limit of bytes: the
   * caller leaves `limitBytes` out then and cuts the answer itself, which is the same.
   */
  encode(request: LogRequest, forPlugin: boolean): JsonObject {
    const { options } = request;
    const bytes = options.limitBytes ?? 0;
    return {
      Namespace: request.namespace,
      PodUID: request.uid,
      PodName: request.name,
      ContainerName: request.container,
      Opts: {
        Tail: options.tailLines ?? 0,
        ...(options.tailLines === 0 ? { TailLines: 0 } : {}),
        Bytes: bytes,
        ...(forPlugin ? { LimitBytes: bytes } : {}),
        Timestamps: options.timestamps ?? false,
        Follow: options.follow ?? false,
        Previous: options.previous ?? false,
        ...(options.attempt === undefined ? {} : { Attempt: options.attempt }),
        SinceSeconds: options.sinceSeconds ?? 0,
        SinceTime: options.sinceTime ?? ZERO_TIME,
      },
    };
  },

  /** @throws Invalid with the texts of the existing API server, in its order. */
  decode(value: unknown): LogRequest {
    const body = canonicalise(value);
    const { Namespace, PodUID, PodName, ContainerName } = body as Record<string, string>;
    if (!isValid(() => parsePodRef(Namespace, NAME, 'u'))) throw refuse('invalid namespace: must be a valid DNS label');
    if (!isValid(() => parsePodRef(Namespace, NAME, PodUID))) throw refuse('invalid pod UID: must be a valid UUID');
    if (ContainerName !== '' && !DNS_LABEL.test(ContainerName ?? ''))
      throw refuse('invalid container name: must be a valid DNS label');
    if (!isValid(() => parsePodRef(Namespace, PodName, PodUID)))
      throw refuse('invalid pod name: must be a valid DNS subdomain');
    const options = decodeOptions(body.Opts);
    if (options.tailLines !== undefined && options.limitBytes !== undefined)
      throw refuse('Both Tail and LimitBytes set. Set only one of them');
    if (options.sinceSeconds !== undefined && options.sinceTime !== undefined)
      throw refuse('Both SinceSeconds and SinceTime set. Set only one of them');
    return { ...parsePodRef(Namespace, PodName, PodUID), container: ContainerName ?? '', options };
  },
};

function canonicalise(value: unknown): JsonObject {
  try {
    const body = canonicalKeys(value, KEYS, 'log request');
    const opts = isJsonObject(body.Opts) ? canonicalKeys(body.Opts, OPTION_KEYS, 'log request.Opts') : body.Opts;
    const whole = { ContainerName: '', ...body, Opts: opts };
    wireCheck(logRequestSchema, whole, 'log request');
    return whole;
  } catch (error) {
    if (isKind(error, 'Invalid')) throw refuse('invalid request body', error);
    throw error;
  }
}

function decodeOptions(value: unknown): LogOptions {
  const opts = (value ?? {}) as Record<string, number | boolean | string | null | undefined>;
  const number = (...names: readonly string[]): number | undefined =>
    names.map((name) => opts[name]).find((entry) => typeof entry === 'number' && entry > 0) as number | undefined;
  const tailLines = number('Tail') ?? (typeof opts.TailLines === 'number' ? opts.TailLines : undefined);
  const limitBytes = number('Bytes', 'LimitBytes');
  const sinceSeconds = number('SinceSeconds');
  const sinceTime = typeof opts.SinceTime === 'string' && opts.SinceTime !== '' ? opts.SinceTime : undefined;
  if (sinceTime !== undefined && Number.isNaN(Date.parse(sinceTime))) throw refuse('invalid request body');
  return {
    ...(tailLines === undefined ? {} : { tailLines }),
    ...(limitBytes === undefined ? {} : { limitBytes }),
    ...(sinceSeconds === undefined ? {} : { sinceSeconds }),
    ...(sinceTime === undefined || sinceTime === ZERO_TIME ? {} : { sinceTime }),
    ...(opts.Timestamps === true ? { timestamps: true } : {}),
    ...(opts.Follow === true ? { follow: true } : {}),
    ...(opts.Previous === true ? { previous: true } : {}),
    ...(typeof opts.Attempt === 'number' ? { attempt: opts.Attempt } : {}),
  };
}

function isValid(check: () => unknown): boolean {
  try {
    check();
    return true;
  } catch (error) {
    if (isKind(error, 'Invalid')) return false;
    throw error;
  }
}

function refuse(message: string, cause?: unknown): InterlinkError {
  return new InterlinkError('Invalid', message, { code: 'wire.logs.invalid', cause });
}
