import { InterlinkError, isKind } from '../base/errors.ts';
import type { Logger } from '../base/logger.ts';
import type { HttpHandler, HttpRequest } from '../http/handler.ts';
import { jsonResponse } from '../http/json-response.ts';
import { parseJson } from '../http/parse-json.ts';
import { type Route, routeTable } from '../http/route-table.ts';
import { textResponse } from '../http/text-response.ts';
import type { Pod } from '../kube/types.ts';
import { type PodRef, podRefOf } from './pod-ref.ts';
import type { CallOptions, Sidecar, WatchEvent } from './sidecar.ts';
import { wireCheck } from './wire-check.ts';
import { wireCreate } from './wire-create.ts';
import { wireLogs } from './wire-logs.ts';
import { wirePing } from './wire-ping.ts';
import { podSchema } from './wire-schemas.ts';
import { wireStatus } from './wire-status.ts';
import { wireVolumes } from './wire-volumes.ts';
import { wireWatch } from './wire-watch.ts';

export interface ServeSidecarDeps {
  readonly logger: Logger;
}

/** What a request turned out to be about. */
export interface ServedCall {
  readonly name: string;
  readonly pods: readonly PodRef[];
  readonly session: string;
}

export interface ServeSidecarOptions {
  /** Who asks: for a `plugin` an empty status request is a ping, for an `api` it asks for nothing. `plugin` unless given. */
  readonly hop?: 'api' | 'plugin';
  /** Told of each call after its body was understood and before it is made; what it throws refuses the call. */
  readonly onCall?: (request: HttpRequest, call: ServedCall) => void;
}

/** Largest bodies: a pod has at most 1.5 MB, and so has each ConfigMap and Secret. */
const CREATE_BYTES = 32 * 1024 * 1024;
const STATUS_BYTES = 8 * 1024 * 1024;
const DELETE_BYTES = 4 * 1024 * 1024;
const LOGS_BYTES = 64 * 1024;

/** Calls of the contract that no sidecar offers yet. */
const OPTIONAL_CALLS = {
  '/exec': 'exec',
  '/attach': 'attach',
  '/portForward': 'portForward',
  '/stats': 'stats',
} as const;

const SESSION = /^[\x21-\x7e]{1,128}$/;

/**
 * A sidecar as an HTTP handler, for existing callers and our own: any method, bodies of both hops, statuses of 200 only, plain-text errors for callers that do not ask for
 * JSON. Streams are passed on unbuffered and stop when either end goes. It does not authenticate; whoever mounts it does.
 */
export function serveSidecar(sidecar: Sidecar, deps: ServeSidecarDeps, options: ServeSidecarOptions = {}): HttpHandler {
  const { logger } = deps;

  const begin = (request: HttpRequest, name: string, pods: readonly PodRef[]): CallOptions => {
    const given = request.headers['interlink-http-session'];
    const session = typeof given === 'string' && SESSION.test(given) ? given : `${name}#${crypto.randomUUID()}`;
    options.onCall?.(request, { name, pods, session });
    const [pod, ...others] = pods;
    logger.debug('call', {
      call: name,
      session,
      ...(pod ? { namespace: pod.namespace, pod: pod.name, podUid: pod.uid } : {}),
      ...(others.length > 0 ? { pods: pods.length } : {}),
    });
    return { signal: request.signal, session };
  };

  const ping = async (request: HttpRequest) =>
    jsonResponse(wirePing.encode(await sidecar.ping(begin(request, 'ping', []))));

  const capabilities = (request: HttpRequest) => sidecar.capabilities(begin(request, 'capabilities', []));

  const routes: Record<string, HttpHandler> = {
    '/create': async (request) => {
      const bundle = wireCreate.decodeRequest(parseJson(await request.body(CREATE_BYTES), 'create request'));
      const result = await sidecar.create(bundle, begin(request, 'create', [podRefOf(bundle.pod)]));
      return jsonResponse(wireCreate.encodeAnswer(result));
    },

    '/delete': async (request) => {
      const pod = decodePod(parseJson(await request.body(DELETE_BYTES), 'delete request'), 'delete request');
      const ref = podRefOf(pod);
      await sidecar.delete(pod, begin(request, 'delete', [ref]));
      return jsonResponse({ PodUID: ref.uid });
    },

    '/status': async (request) => {
      const body = await request.body(STATUS_BYTES);
      const pods = decodePods(body.length === 0 ? [] : parseJson(body, 'status request'));
      if (pods.length === 0 && options.hop !== 'api') return ping(request);
      const statuses =
        pods.length === 0 ? [] : await sidecar.status(pods, begin(request, 'status', pods.map(podRefOf)));
      return jsonResponse(statuses.map(wireStatus.encode));
    },

    '/getLogs': async (request) => {
      const wanted = wireLogs.decode(decodeLogsBody(await request.body(LOGS_BYTES)));
      const body = await sidecar.logs(wanted, begin(request, 'getLogs', [wanted]));
      return { status: 200, headers: { 'content-type': 'text/plain; charset=utf-8' }, body };
    },

    '/volumes': async (request) => {
      // Before the body, which holds secrets that nobody here would want.
      const { name, capabilities: offered } = await sidecar.capabilities({ signal: request.signal });
      if (!offered.includes('volumes')) throw unsupported(name, 'volumes');
      const update = wireVolumes.decode(parseJson(await request.body(CREATE_BYTES), 'volume update'));
      await sidecar.updateVolumes(update, begin(request, 'volumes', [update.pod]));
      return jsonResponse({ PodUID: update.pod.uid });
    },

    '/pinglink': ping,

    '/updateCache': async () => textResponse('Updated cache'),

    '/healthz': async () => textResponse('ok'),

    '/capabilities': async (request) => jsonResponse(await capabilities(request)),

    '/watch': async (request) => {
      const call = begin(request, 'watch', []);
      const { name, capabilities: offered } = await sidecar.capabilities(call);
      if (!offered.includes('watch')) throw unsupported(name, 'watch');
      const events = sidecar.watch(call)[Symbol.asyncIterator]();
      // A source that cannot begin answers with its error; after the header only a cut connection could tell it.
      const first = await events.next();
      return { status: 200, headers: { 'content-type': 'application/x-ndjson' }, body: lines(first, events) };
    },
  };
  for (const [path, capability] of Object.entries(OPTIONAL_CALLS))
    routes[path] = async (request) => {
      throw unsupported((await capabilities(request)).name, capability);
    };

  return routeTable(
    Object.fromEntries(Object.entries(routes).map(([path, handle]) => [path, { handle } satisfies Route])),
  );
}

async function* lines(
  first: IteratorResult<WatchEvent>,
  events: AsyncIterator<WatchEvent>,
): AsyncGenerator<Uint8Array, void, void> {
  try {
    for (let result = first; !result.done; result = await events.next())
      yield Buffer.from(`${JSON.stringify(wireWatch.encode(result.value))}\n`);
  } finally {
    await events.return?.();
  }
}

function decodePod(value: unknown, what: string): Pod {
  wireCheck(podSchema, value, what);
  const pod = value as Pod;
  podRefOf(pod);
  return pod;
}

function decodePods(value: unknown): readonly Pod[] {
  if (value === null) return [];
  if (!Array.isArray(value))
    throw new InterlinkError('Invalid', 'status request: expected a list of pods', { code: 'wire.invalid' });
  return value.map((pod, index) => decodePod(pod, `status request[${index}]`));
}

function decodeLogsBody(bytes: Uint8Array): unknown {
  try {
    return parseJson(bytes, 'log request');
  } catch (error) {
    if (isKind(error, 'Invalid'))
      throw new InterlinkError('Invalid', 'invalid request body', { code: 'wire.logs.invalid', cause: error });
    throw error;
  }
}

function unsupported(name: string, capability: string): InterlinkError {
  return new InterlinkError('Unsupported', `${name} does not offer ${capability}; see GET /capabilities`, {
    code: 'sidecar.unsupported',
  });
}
