import { randomUUID } from 'node:crypto';
import { ERROR_KINDS, InterlinkError, kindOf, publicMessageOf } from '../base/errors.ts';
import type { Sidecar } from '../contract/sidecar.ts';
import type { HttpHandler, HttpRequest, HttpResponse } from '../http/handler.ts';
import { jsonResponse } from '../http/json-response.ts';
import { textResponse } from '../http/text-response.ts';
import type { Pod } from '../kube/types.ts';
import { containerLogs } from './container-logs.ts';
import type { KubeletAccess, KubeletAuth } from './kubelet-auth.ts';
import { parseLogOptions } from './log-options.ts';

/** The pods of this node as the API server has them. */
export interface PodView {
  pods(): readonly Pod[];
  findPod(namespace: string, name: string): Pod | undefined;
}

export interface KubeletApiDeps {
  readonly auth: KubeletAuth;
  readonly pods: PodView;
  readonly sidecar: Sidecar;
  /** Whether the pods of the cluster are being followed. */
  readonly isHealthy: () => boolean;
}

/** A path that the API knows, with what a caller must be allowed. */
interface Route {
  readonly subresources: readonly string[];
  /** Verb whatever the method: a GET that upgrades runs commands too. */
  readonly verb?: string;
  readonly methods: readonly string[];
  readonly answer: (request: HttpRequest) => Promise<HttpResponse>;
}

const VERBS: Readonly<Record<string, string>> = {
  GET: 'get',
  HEAD: 'get',
  POST: 'create',
  PUT: 'update',
  PATCH: 'patch',
  DELETE: 'delete',
};
const PROXY = ['proxy'];
/** What has a subresource of its own; the rest is `proxy`. */
const SUBRESOURCES: Readonly<Record<string, readonly string[]>> = {
  stats: ['stats'],
  metrics: ['metrics'],
  logs: ['log'],
  checkpoint: ['checkpoint'],
  pods: ['pods', 'proxy'],
  runningpods: ['pods', 'proxy'],
  healthz: ['healthz', 'proxy'],
  configz: ['configz', 'proxy'],
  statusz: ['statusz', 'proxy'],
  flagz: ['flagz', 'proxy'],
};
const STREAMS: ReadonlySet<string> = new Set(['exec', 'attach', 'portForward', 'run']);
const STREAM_METHODS = ['GET', 'POST'];

/** Answers as a kubelet does: every path needs a known and allowed caller, errors are plain text. */
export function createKubeletApi(deps: KubeletApiDeps): HttpHandler {
  return async (request) => {
    const route = findRoute(deps, request.path);
    const access: KubeletAccess = {
      verb: route.verb ?? VERBS[request.method] ?? 'get',
      subresources: route.subresources,
    };
    await deps.auth.check(
      { socket: request.socket, authorization: request.headers.authorization, signal: request.signal },
      access,
    );
    if (route.methods.length > 0 && !route.methods.includes(request.method))
      return textResponse('405: Method Not Allowed', { status: 405, headers: { allow: route.methods.join(', ') } });
    return route.answer(request);
  };
}

/** Status by the error's kind, body the sentence alone, as a kubelet writes it and the API server passes it on. */
export function renderKubeletError(error: unknown): HttpResponse {
  const unprocessable = error instanceof InterlinkError && error.code === 'kubelet.options';
  return textResponse(publicMessageOf(error), {
    status: unprocessable ? 422 : ERROR_KINDS[kindOf(error)].httpStatus,
  });
}

function findRoute({ pods, sidecar, isHealthy }: KubeletApiDeps, path: string): Route {
  const parts = path.split('/').slice(1);
  if (parts.at(-1) === '' && parts.length > 1) parts.pop();
  const [first = '', namespace = '', name = '', container = ''] = parts.map(decode);
  const subresources = SUBRESOURCES[first] ?? PROXY;
  const get = (answer: Route['answer']): Route => ({ subresources, methods: ['GET'], answer });
  if (first === 'containerLogs' && parts.length === 4)
    return get(async (request) => {
      const options = parseLogOptions(request.query);
      const pod = pods.findPod(namespace, name);
      if (pod === undefined) throw new InterlinkError('NotFound', `pod "${name}" does not exist`);
      const call = { signal: request.signal, session: randomUUID() };
      const body = await containerLogs(sidecar, pod, container, options, call);
      return { status: 200, headers: { 'content-type': 'text/plain; charset=utf-8' }, body };
    });
  if (STREAMS.has(first) && parts.length >= 3)
    return {
      subresources,
      verb: 'create',
      methods: STREAM_METHODS,
      answer: async () => {
        throw new InterlinkError('Unsupported', `${first} is not supported by this version of interlink`);
      },
    };
  if (parts.length === 1 && first === 'pods') return get(async () => jsonResponse(podList(pods.pods())));
  if (parts.length === 1 && first === 'runningpods')
    return get(async () => jsonResponse(podList(pods.pods().filter(isRunning).map(outline))));
  if (
    first === 'healthz' &&
    (parts.length === 1 || (parts.length === 2 && ['ping', 'log', 'syncloop'].includes(namespace)))
  )
    return get(async () => {
      const bad = namespace !== 'ping' && namespace !== 'log' && !isHealthy();
      return bad
        ? textResponse('[-]syncloop failed: pods are not being followed', { status: 500 })
        : textResponse('ok');
    });
  return {
    subresources,
    methods: [],
    answer: async () => textResponse('404 page not found', { status: 404 }),
  };
}

/** Percent-encoding has no use in names of Kubernetes; a broken one is a name that nothing has. */
function decode(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

function podList(items: readonly Pod[]): unknown {
  return { kind: 'PodList', apiVersion: 'v1', metadata: {}, items };
}

function isRunning({ status }: Pod): boolean {
  return [...(status?.containerStatuses ?? []), ...(status?.initContainerStatuses ?? [])].some(
    ({ state }) => state?.running !== undefined,
  );
}

/** What a container runtime knows of a pod: names and images, no environment. */
function outline({ metadata, spec }: Pod): Pod {
  const { name, namespace, uid } = metadata ?? {};
  const containers = (spec?.containers ?? []).map(({ name: containerName, image }) => ({
    name: containerName,
    ...(image === undefined ? {} : { image }),
  }));
  return {
    metadata: {
      ...(name === undefined ? {} : { name }),
      ...(namespace === undefined ? {} : { namespace }),
      ...(uid === undefined ? {} : { uid }),
    },
    spec: { containers },
    status: {},
  };
}
