import { createHash } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { createServer as createSecureServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { outputOf } from './command.ts';

/** A registry on this machine while it is open. */
export interface ServedRegistry {
  readonly port: number;
  readonly digest: string;
  /** Layers and configurations that were asked for. */
  readonly downloads: readonly string[];
  close(): void;
}

/**
 * A registry of one image, `site/busybox:1`, taken out of a docker-archive: what a pull asks for and nothing else.
 * @param tls Key and certificate; plain HTTP without them.
 * @param login `user:password` that it wants; it is for everybody without.
 */
export async function serveRegistry(
  tar: string,
  tls?: { readonly key: string; readonly cert: string },
  login?: string,
): Promise<ServedRegistry> {
  const member = async (name: string): Promise<Buffer> =>
    Buffer.from(await outputOf(['sh', '-c', 'tar -xOf "$1" "$2" | base64 -w0', 'sh', tar, name]), 'base64');
  const [{ Config, Layers }] = JSON.parse((await member('manifest.json')).toString()) as [
    { Config: string; Layers: string[] },
  ];
  const digest = (bytes: Buffer): string => `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
  const config = await member(Config);
  const layers = await Promise.all(Layers.map(member));
  const describeBlob = (bytes: Buffer, mediaType: string): object => ({
    mediaType,
    digest: digest(bytes),
    size: bytes.length,
  });
  const manifest = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: 'application/vnd.oci.image.manifest.v1+json',
      config: describeBlob(config, 'application/vnd.oci.image.config.v1+json'),
      layers: layers.map((layer) => describeBlob(layer, 'application/vnd.oci.image.layer.v1.tar')),
    }),
  );
  const content = new Map([config, ...layers, manifest].map((bytes) => [digest(bytes), bytes]));
  const downloads: string[] = [];
  const wanted = login && `Basic ${Buffer.from(login).toString('base64')}`;
  const answer = (request: IncomingMessage, response: ServerResponse): ServerResponse => {
    if (wanted && request.headers.authorization !== wanted)
      return response
        .writeHead(401, { 'www-authenticate': 'Basic realm="e2e"', 'content-type': 'application/json' })
        .end('{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}');
    const [, name, kind, reference = ''] = /^\/v2\/(.+)\/(manifests|blobs)\/(.+)$/.exec(request.url ?? '') ?? [];
    const found =
      name !== 'site/busybox'
        ? undefined
        : kind === 'manifests' && reference === '1'
          ? manifest
          : content.get(reference);
    if (request.url === '/v2/') return response.writeHead(200).end('{}');
    if (!found)
      return response
        .writeHead(404, { 'content-type': 'application/json' })
        .end('{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}');
    if (request.method === 'GET' && kind === 'blobs') downloads.push(reference);
    const type = found === manifest ? 'application/vnd.oci.image.manifest.v1+json' : 'application/octet-stream';
    response.writeHead(200, {
      'content-type': type,
      'content-length': found.length,
      'docker-content-digest': digest(found),
    });
    return response.end(request.method === 'HEAD' ? undefined : found);
  };
  const server = tls ? createSecureServer(tls, answer) : createServer(answer);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return { port, digest: digest(manifest), downloads, close: () => server.close() };
}
