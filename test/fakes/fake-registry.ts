import { createHash } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface FakeRegistryOptions {
  /** How it wants to be asked: `token` as Docker Hub does, also when nobody is logged in. */
  readonly auth?: 'none' | 'basic' | 'token';
  /** Who may see repositories below `private/`. */
  readonly user?: string;
  readonly password?: string;
}

/** One request as it came. */
export interface RegistryRequest {
  readonly method: string;
  readonly path: string;
  readonly authorization: string | undefined;
}

const TYPE = 'application/vnd.oci.image.manifest.v1+json';
const TOKEN = 'token-of-a-login';

/** A registry of manifests on loopback. `e2e/images.test.ts` asks a real one the same questions. */
export class FakeRegistry implements AsyncDisposable {
  readonly requests: RegistryRequest[] = [];
  /** Answers a request by itself; returns whether it did. */
  override: (request: IncomingMessage, response: ServerResponse) => boolean = () => false;
  readonly #options: FakeRegistryOptions;
  readonly #manifests = new Map<string, Buffer>();
  readonly #server: Server;

  private constructor(options: FakeRegistryOptions) {
    this.#options = options;
    this.#server = createServer((request, response) => this.#serve(request, response));
  }

  static async start(options: FakeRegistryOptions = {}): Promise<FakeRegistry> {
    const registry = new FakeRegistry(options);
    await new Promise<void>((resolve) => registry.#server.listen(0, '127.0.0.1', resolve));
    return registry;
  }

  /** `127.0.0.1:port`. */
  get host(): string {
    return `127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** Puts something under a tag and returns its digest. */
  push(repository: string, tag: string, content: string): string {
    const manifest = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: TYPE, content }));
    const digest = `sha256:${createHash('sha256').update(manifest).digest('hex')}`;
    for (const reference of [tag, digest]) this.#manifests.set(`${repository}/${reference}`, manifest);
    return digest;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #serve(request: IncomingMessage, response: ServerResponse): void {
    const { method = '', url = '', headers } = request;
    this.requests.push({ method, path: url, authorization: headers.authorization });
    if (this.override(request, response)) return;
    const { status, body, more } = this.#answer(url, headers.authorization);
    response
      .writeHead(status, { 'content-type': 'application/json', 'content-length': body.length, ...more })
      .end(method === 'HEAD' ? undefined : body);
  }

  #answer(url: string, authorization: string | undefined): Answer {
    if (url.startsWith('/token?')) {
      if (authorization !== undefined && !this.#isLogin(authorization)) return refuse(401, 'DENIED');
      const token = authorization === undefined ? 'token-of-nobody' : TOKEN;
      return { status: 200, body: Buffer.from(JSON.stringify({ token })) };
    }
    const { auth = 'none' } = this.#options;
    const [, repository = '', reference = ''] = /^\/v2\/(.+)\/manifests\/(.+)$/.exec(url) ?? [];
    const isPrivate = repository.startsWith('private/');
    const bearer = `Bearer realm="http://${this.host}/token",service="fake",scope="repository:${repository}:pull"`;
    if (auth === 'token' && authorization === undefined) return refuse(401, 'UNAUTHORIZED', bearer);
    if (auth === 'token' && isPrivate && authorization !== `Bearer ${TOKEN}`)
      return refuse(401, 'DENIED', `${bearer},error="insufficient_scope"`);
    if (auth === 'basic' && isPrivate && !this.#isLogin(authorization))
      return refuse(401, 'UNAUTHORIZED', 'Basic realm="fake"');
    const manifest = this.#manifests.get(`${repository}/${reference}`);
    if (!manifest) return refuse(404, 'MANIFEST_UNKNOWN');
    const digest = `sha256:${createHash('sha256').update(manifest).digest('hex')}`;
    return { status: 200, body: manifest, more: { 'content-type': TYPE, 'docker-content-digest': digest } };
  }

  #isLogin(authorization: string | undefined): boolean {
    const { user = 'me', password = 'hush' } = this.#options;
    return authorization === `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`;
  }
}

interface Answer {
  readonly status: number;
  readonly body: Buffer;
  readonly more?: Record<string, string>;
}

function refuse(status: number, code: string, challenge?: string): Answer {
  const body = Buffer.from(JSON.stringify({ errors: [{ code, message: code.toLowerCase() }] }));
  return { status, body, ...(challenge !== undefined && { more: { 'www-authenticate': challenge } }) };
}
