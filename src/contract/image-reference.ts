import { InterlinkError } from '../base/errors.ts';

/** An image name taken apart: `[domain/]path[:tag][@digest]`. */
export interface ImageReference {
  readonly domain: string;
  readonly path: string;
  readonly tag?: string;
  readonly digest?: string;
}

const DOMAIN =
  /^(?:(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])(?:\.(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9]))*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?$/;
const PATH = /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:\/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*$/;
const TAG = /^[\w][\w.-]{0,127}$/;
const DIGEST = /^[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,}$/;
const MAX_NAME = 255;

/**
 * Parses an image name by the grammar of OCI references, with Docker's defaults: no domain is docker.io, one word there is in `library/`.
 * @throws Invalid with code `InvalidImageName` and a kubelet's message.
 * @see https://github.com/distribution/reference/blob/main/reference.go
 */
export function parseImageReference(image: string): ImageReference {
  const fault = (why: string): InterlinkError =>
    new InterlinkError(
      'Invalid',
      `Failed to apply default image tag ${JSON.stringify(image)}: couldn't parse image name ${JSON.stringify(image)}: ${why}`,
      { code: 'InvalidImageName' },
    );
  if (/^[0-9a-f]{64}$/.test(image))
    throw fault(`invalid repository name (${image}), cannot specify 64-byte hexadecimal strings`);
  const slash = image.indexOf('/');
  const first = image.slice(0, Math.max(slash, 0));
  const hasDomain = slash > 0 && (/[.:]/.test(first) || first === 'localhost' || first.toLowerCase() !== first);
  const domain = hasDomain ? first : 'docker.io';
  const rest = hasDomain ? image.slice(slash + 1) : image;
  const remainder = domain === 'docker.io' && !rest.includes('/') ? `library/${rest}` : rest;

  const at = remainder.indexOf('@');
  const digest = at < 0 ? undefined : remainder.slice(at + 1);
  const named = at < 0 ? remainder : remainder.slice(0, at);
  const colon = named.indexOf(':');
  const tag = colon < 0 ? undefined : named.slice(colon + 1);
  const path = colon < 0 ? named : named.slice(0, colon);
  if (path.toLowerCase() !== path) throw fault(`invalid reference format: repository name (${path}) must be lowercase`);
  const wellFormed =
    DOMAIN.test(domain) &&
    PATH.test(path) &&
    (tag === undefined || TAG.test(tag)) &&
    (digest === undefined || DIGEST.test(digest));
  if (!wellFormed) throw fault('invalid reference format');
  if (`${domain}/${path}`.length > MAX_NAME)
    throw fault(`repository name must not be more than ${MAX_NAME} characters`);
  return { domain, path, ...(tag !== undefined && { tag }), ...(digest !== undefined && { digest }) };
}

/** `domain/path@digest` or `:tag`, `latest` where there is neither. */
export function renderReference({ domain, path, tag = 'latest', digest }: ImageReference): string {
  return digest === undefined ? `${domain}/${path}:${tag}` : `${domain}/${path}@${digest}`;
}
