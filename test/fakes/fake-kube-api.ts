import { randomUUID } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { Secret } from '../../src/base/secret.ts';
import type { KubeConnection } from '../../src/kube/kube-connection.ts';
import { mergePatch } from './merge-patch.ts';

export interface FakeObject {
  readonly apiVersion?: string;
  readonly kind?: string;
  readonly metadata: Record<string, unknown> & {
    name?: string;
    namespace?: string;
    uid?: string;
    resourceVersion?: string;
  };
  readonly [field: string]: unknown;
}

export interface FakeRequest {
  readonly method: string;
  readonly path: string;
  readonly query: URLSearchParams;
  readonly contentType: string;
  readonly authorization: string | undefined;
  readonly body: string;
}

/** What goes wrong instead of an answer. */
export type Fault =
  | {
      readonly kind: 'status';
      readonly status: number;
      readonly headers?: Record<string, string>;
      readonly body?: unknown;
    }
  /** The connection is reset before an answer. */
  | { readonly kind: 'reset' }
  /** No answer, ever. */
  | { readonly kind: 'silence' }
  /** 200 with this text, then a regular end. */
  | { readonly kind: 'text'; readonly body: string }
  /** 200 with this text, then a reset connection. */
  | { readonly kind: 'torn'; readonly body: string };

type EventType = 'ADDED' | 'MODIFIED' | 'DELETED';

interface Change {
  readonly version: number;
  readonly collection: string;
  readonly type: EventType;
  readonly object: FakeObject;
}

interface Watcher {
  readonly collection: string;
  readonly namespace: string | undefined;
  readonly query: URLSearchParams;
  readonly response: ServerResponse;
}

/** `/api/v1/namespaces/ns/pods/p/status` in parts; `collection` is group, version and resource. */
interface Target {
  readonly collection: string;
  readonly namespace: string | undefined;
  readonly name: string | undefined;
  readonly subresource: string | undefined;
}

/**
 * An API server on a loopback port with the behaviour that clients depend on: versions, conflicts, lists in pages, watches with bookmarks, expired versions,
 * preconditions, graceful deletion of bound pods, reviews. `fail` makes the next matching requests go wrong.
 */
export class FakeKubeApi implements AsyncDisposable {
  readonly requests: FakeRequest[] = [];
  /** Whether watches may begin with the full state; servers before 1.32 refuse. */
  streamsInitialState = true;
  pageSize = 500;
  /** The user of a token; undefined refuses it. */
  authenticate: (token: string) => Record<string, unknown> | undefined = () => undefined;
  authorize: (spec: Record<string, unknown>) => boolean = () => false;
  readonly #server: Server;
  readonly #objects = new Map<string, FakeObject>();
  readonly #faults: { matches: (request: FakeRequest) => boolean; fault: Fault; left: number }[] = [];
  readonly #watchers = new Set<Watcher>();
  readonly #history: Change[] = [];
  #version = 100;
  #tokens = 0;
  #oldest = 0;

  private constructor(server: Server) {
    this.#server = server;
  }

  static async start(): Promise<FakeKubeApi> {
    const server = createServer();
    const api = new FakeKubeApi(server);
    server.on('request', (request, response) => void api.#serve(request, response));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return api;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** A connection with a token; each `refresh` gives the next of `tokens`. */
  connection(tokens: readonly string[] = ['token']): KubeConnection {
    let used = 0;
    return {
      server: this.url,
      insecureSkipTlsVerify: false,
      namespace: 'default',
      source: 'test',
      credentials: async ({ refresh }) => {
        if (refresh) used = Math.min(used + 1, tokens.length - 1);
        return { token: new Secret(tokens[used] ?? '') };
      },
    };
  }

  /** The next `times` requests that match get `fault`; earlier calls win. */
  fail(matches: (request: FakeRequest) => boolean, fault: Fault, times = 1): void {
    this.#faults.push({ matches, fault, left: times });
  }

  /** Creates or replaces an object as another client would, e.g. `put('v1/pods', {…})`. */
  put(collection: string, object: FakeObject): FakeObject {
    const key = keyOf(collection, object.metadata.namespace, object.metadata.name ?? '');
    const before = this.#objects.get(key);
    return this.#store(collection, object, before === undefined ? 'ADDED' : 'MODIFIED', before);
  }

  get(collection: string, namespace: string | undefined, name: string): FakeObject | undefined {
    return this.#objects.get(keyOf(collection, namespace, name));
  }

  list(collection: string): FakeObject[] {
    return [...this.#objects].flatMap(([key, object]) => (key.startsWith(`${collection} `) ? [object] : []));
  }

  /** Removes an object as another client would, without grace. */
  remove(collection: string, namespace: string | undefined, name: string): void {
    const key = keyOf(collection, namespace, name);
    const object = this.#objects.get(key);
    if (object === undefined) throw new Error(`no ${key}`);
    this.#objects.delete(key);
    this.#version += 1;
    this.#publish(collection, 'DELETED', withVersion(object, this.#version));
  }

  get openWatches(): number {
    return this.#watchers.size;
  }

  openWatchesOf(matches: (watch: { readonly collection: string; readonly query: URLSearchParams }) => boolean): number {
    return [...this.#watchers].filter(matches).length;
  }

  /** Ends all watches: in good order, or by a reset. */
  endWatches(how: 'eof' | 'reset'): void {
    for (const { response } of this.#watchers) {
      if (how === 'eof') response.end();
      else response.socket?.resetAndDestroy();
    }
    this.#watchers.clear();
  }

  /** Forgets the history: watches from a version before now get 410. */
  compact(): void {
    this.#history.length = 0;
    this.#oldest = this.#version;
  }

  /** Sends every watch a line as it is. */
  sendToWatches(line: string | Uint8Array): void {
    for (const { response } of this.#watchers) response.write(line);
  }

  bookmark(): void {
    this.#version += 1;
    for (const { response } of this.#watchers) response.write(bookmarkLine(this.#version, false));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  async #serve(message: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(message.url ?? '/', 'http://x');
    const request: FakeRequest = {
      method: message.method ?? '',
      path: url.pathname,
      query: url.searchParams,
      contentType: message.headers['content-type'] ?? '',
      authorization: message.headers.authorization,
      body: await text(message),
    };
    this.requests.push(request);
    const planned = this.#faults.find(({ matches, left }) => left > 0 && matches(request));
    if (planned !== undefined) {
      planned.left -= 1;
      return inject(planned.fault, response);
    }
    const target = parseTarget(request.path);
    if (target === undefined) return reply(response, 404, status(404, 'NotFound', 'no such path'));
    const body = request.body === '' ? undefined : JSON.parse(request.body);
    if (request.method === 'GET' && request.query.get('watch') === 'true')
      return this.#watch(target, request, response);
    const [code, answer] = this.#handle(target, request, body);
    reply(response, code, answer);
  }

  #handle(target: Target, request: FakeRequest, body: FakeObject): [number, unknown] {
    const { collection, namespace, name, subresource } = target;
    switch (request.method) {
      case 'GET':
        if (name === undefined) return this.#list(target, request.query);
        return this.#existing(target, (object) => [200, object]);
      case 'POST':
        if (subresource === 'token') {
          this.#tokens += 1;
          return [201, { ...body, status: { token: `token ${this.#tokens} of ${name}` } }];
        }
        if (collection.endsWith('/tokenreviews') || collection.endsWith('/subjectaccessreviews'))
          return [201, this.#review(body)];
        return this.#create(collection, namespace, body);
      case 'PUT':
        return this.#existing(target, (object) => this.#update(collection, object, body, body));
      case 'PATCH':
        return this.#existing(target, (object) => {
          const merged = mergePatch(object, body, request.contentType.includes('strategic')) as FakeObject;
          return this.#update(collection, object, body, merged);
        });
      case 'DELETE':
        return this.#existing(target, (object) => this.#delete(target, object, Object(body)));
      default:
        return [405, status(405, 'MethodNotAllowed', 'method')];
    }
  }

  #existing(
    { collection, namespace, name = '' }: Target,
    then: (object: FakeObject) => [number, unknown],
  ): [number, unknown] {
    const object = this.#objects.get(keyOf(collection, namespace, name));
    const resource = collection.split('/').at(-1);
    return object === undefined ? [404, status(404, 'NotFound', `${resource} "${name}" not found`)] : then(object);
  }

  #list(target: Target, query: URLSearchParams): [number, unknown] {
    const all = this.#select(target, query);
    const limit = Math.min(Number(query.get('limit') ?? all.length), this.pageSize);
    const [start, version] = (query.get('continue') ?? `0:${this.#version}`).split(':').map(Number);
    if ((version ?? 0) < this.#oldest)
      return [410, status(410, 'Expired', 'The provided continue parameter is too old')];
    const end = (start ?? 0) + limit;
    const more = end < all.length ? { continue: `${end}:${version}` } : {};
    return [
      200,
      { kind: 'List', metadata: { resourceVersion: String(version), ...more }, items: all.slice(start, end) },
    ];
  }

  #create(collection: string, namespace: string | undefined, body: FakeObject): [number, unknown] {
    const name = body.metadata.name ?? `${body.metadata.generateName}${randomUUID().slice(0, 5)}`;
    const object = { ...body, metadata: { ...body.metadata, name, ...(namespace === undefined ? {} : { namespace }) } };
    if (this.#objects.has(keyOf(collection, namespace, name)))
      return [409, status(409, 'AlreadyExists', `${collection} "${name}" already exists`)];
    return [201, this.#store(collection, object, 'ADDED', undefined)];
  }

  #update(collection: string, before: FakeObject, body: FakeObject, after: FakeObject): [number, unknown] {
    const { resourceVersion, uid } = Object(body.metadata);
    if (resourceVersion !== undefined && resourceVersion !== before.metadata.resourceVersion)
      return [409, status(409, 'Conflict', 'the object has been modified')];
    if (uid !== undefined && uid !== before.metadata.uid)
      return [409, status(409, 'Conflict', 'Precondition failed: UID')];
    return [200, this.#store(collection, after, 'MODIFIED', before)];
  }

  #delete(
    { collection, namespace, name = '' }: Target,
    object: FakeObject,
    options: Record<string, unknown>,
  ): [number, unknown] {
    const { uid } = Object(options.preconditions);
    if (uid !== undefined && uid !== object.metadata.uid)
      return [409, status(409, 'Conflict', 'Precondition failed: UID in precondition')];
    const grace = (options.gracePeriodSeconds ?? Object(object.spec).terminationGracePeriodSeconds ?? 30) as number;
    if (collection === 'v1/pods' && grace > 0 && Object(object.spec).nodeName !== undefined) {
      const deletion = { deletionTimestamp: new Date().toISOString(), deletionGracePeriodSeconds: grace };
      return [
        200,
        this.#store(collection, { ...object, metadata: { ...object.metadata, ...deletion } }, 'MODIFIED', object),
      ];
    }
    this.remove(collection, namespace, name);
    return [200, status(200, '', '')];
  }

  #review(body: FakeObject): unknown {
    const spec = Object(body.spec);
    if (body.kind === 'SubjectAccessReview') return { ...body, status: { allowed: this.authorize(spec) } };
    const user = this.authenticate(spec.token);
    return { ...body, status: user === undefined ? { authenticated: false } : { authenticated: true, user } };
  }

  #watch(target: Target, request: FakeRequest, response: ServerResponse): void {
    const { query } = request;
    const initial = query.get('sendInitialEvents') === 'true';
    if (initial && !this.streamsInitialState) {
      reply(response, 422, status(422, 'Invalid', 'sendInitialEvents: Forbidden'));
      return;
    }
    const from = Number(query.get('resourceVersion') ?? 0);
    response.writeHead(200, { 'content-type': 'application/json' });
    if (!initial && from < this.#oldest) {
      response.end(
        `${JSON.stringify({ type: 'ERROR', object: status(410, 'Expired', 'too old resource version') })}\n`,
      );
      return;
    }
    const watcher: Watcher = { collection: target.collection, namespace: target.namespace, query, response };
    this.#watchers.add(watcher);
    response.on('close', () => this.#watchers.delete(watcher));
    response.flushHeaders();
    if (initial) {
      for (const object of this.#select(target, query)) response.write(eventLine('ADDED', object));
      response.write(bookmarkLine(this.#version, true));
    } else for (const change of this.#history) if (change.version > from) this.#send(watcher, change);
  }

  #select(target: Target, query: URLSearchParams): FakeObject[] {
    return this.list(target.collection).filter((object) => isSelected(object, target.namespace, query));
  }

  #store(collection: string, object: FakeObject, type: EventType, before: FakeObject | undefined): FakeObject {
    this.#version += 1;
    const { uid, creationTimestamp } = object.metadata;
    const stored = withVersion(
      {
        ...object,
        metadata: {
          ...object.metadata,
          uid: uid ?? before?.metadata.uid ?? randomUUID(),
          creationTimestamp: creationTimestamp ?? new Date().toISOString(),
        },
      },
      this.#version,
    );
    this.#objects.set(keyOf(collection, stored.metadata.namespace, stored.metadata.name ?? ''), stored);
    this.#publish(collection, type, stored);
    return stored;
  }

  #publish(collection: string, type: EventType, object: FakeObject): void {
    const change: Change = { version: this.#version, collection, type, object };
    this.#history.push(change);
    for (const watcher of this.#watchers) this.#send(watcher, change);
  }

  #send({ collection, namespace, query, response }: Watcher, { type, object, collection: changed }: Change): void {
    if (changed === collection && isSelected(object, namespace, query)) response.write(eventLine(type, object));
  }
}

function parseTarget(path: string): Target | undefined {
  const parts = path.split('/').slice(1);
  const group =
    parts[0] === 'api' ? parts.splice(0, 2).slice(1) : parts[0] === 'apis' ? parts.splice(0, 3).slice(1) : undefined;
  if (group === undefined) return undefined;
  const namespace = parts[0] === 'namespaces' && parts.length > 2 ? parts.splice(0, 2)[1] : undefined;
  const [resource, name, subresource] = parts;
  return { collection: `${group.join('/')}/${resource}`, namespace, name, subresource };
}

function keyOf(collection: string, namespace: string | undefined, name: string): string {
  return `${collection} ${namespace ?? ''}/${name}`;
}

function isSelected(object: FakeObject, namespace: string | undefined, query: URLSearchParams): boolean {
  if (namespace !== undefined && object.metadata.namespace !== namespace) return false;
  return (query.get('fieldSelector') ?? '').split(',').every((selector) => {
    const [field = '', value] = selector.split('=');
    return field === '' || field.split('.').reduce<unknown>((at, key) => Object(at)[key], object) === value;
  });
}

function withVersion(object: FakeObject, version: number): FakeObject {
  return { ...object, metadata: { ...object.metadata, resourceVersion: String(version) } };
}

function eventLine(type: EventType, object: FakeObject): string {
  return `${JSON.stringify({ type, object })}\n`;
}

function bookmarkLine(version: number, initialEnd: boolean): string {
  const annotations = initialEnd ? { annotations: { 'k8s.io/initial-events-end': 'true' } } : {};
  return `${JSON.stringify({ type: 'BOOKMARK', object: { metadata: { resourceVersion: String(version), ...annotations } } })}\n`;
}

function status(code: number, reason: string, message: string): unknown {
  return { kind: 'Status', apiVersion: 'v1', status: code < 400 ? 'Success' : 'Failure', reason, message, code };
}

function reply(response: ServerResponse, code: number, body: unknown): void {
  response.writeHead(code, { 'content-type': 'application/json' });
  response.end(JSON.stringify(body));
}

function inject(fault: Fault, response: ServerResponse): void {
  switch (fault.kind) {
    case 'status':
      response.writeHead(fault.status, fault.headers ?? {});
      response.end(JSON.stringify(fault.body ?? status(fault.status, '', `fault ${fault.status}`)));
      return;
    case 'reset':
      response.socket?.resetAndDestroy();
      return;
    case 'silence':
      return;
    case 'text':
      response.end(fault.body);
      return;
    case 'torn':
      response.writeHead(200);
      response.write(fault.body, () => response.socket?.resetAndDestroy());
  }
}
