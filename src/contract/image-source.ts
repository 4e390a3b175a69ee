import { posix } from 'node:path';
import { InterlinkError } from '../base/errors.ts';
import { type ImageReference, parseImageReference, renderReference } from './image-reference.ts';
import type { RuntimeSettings } from './job-directory.ts';

/** Where the content of an image comes from, when the site's settings have been applied to the name that the pod gave. */
export type ImageSource =
  /** A SIF file or an unpacked directory on the worker. Its real path must be below one of `below`; absent when the site's own map leads there. */
  | { readonly kind: 'path'; readonly path: string; readonly below?: readonly string[] }
  /** A file that a tool makes an image of: `oci-archive:` and `docker-archive:`. */
  | { readonly kind: 'archive'; readonly path: string; readonly url: string; readonly below?: readonly string[] }
  /** A registry that speaks the OCI distribution API; `oras` images are SIF files in one. */
  | {
      readonly kind: 'registry';
      readonly scheme: 'docker' | 'oras';
      readonly reference: ImageReference;
      /** `domain/path` before a mirror has taken its place: what a status calls it. */
      readonly repository: string;
    }
  /** What only the tool knows how to fetch: `library://`, `https://`. */
  | { readonly kind: 'url'; readonly url: string };

/** The settings that decide about images. */
export type ImageRules = Pick<
  RuntimeSettings,
  'imageMap' | 'imagePrefix' | 'imageMirrors' | 'imageAllow' | 'imagePaths'
>;

/** Where image paths may lie unless the site says otherwise: what everybody may read anyway. */
const IMAGE_PATHS = ['/cvmfs'];

const SCHEME = /^([a-z][a-z0-9+.-]*):\/\//;
const ARCHIVE = /^(oci-archive|docker-archive):(\/.*)$/;
const KNOWN =
  'docker://, oras://, library://, https://, oci-archive:/path, docker-archive:/path, a path or a plain name';

/**
 * What the name of an image in a pod means at a site: its map first, then the prefix, then its mirrors. The name must be one that the site allows, as it was
 * before its map and mirrors or as it is fetched.
 *
 * @throws Invalid with code `InvalidImageName` and a kubelet's message for what is no name, with code `image.refused` for what the site does not allow or
 * nobody could fetch; the message then names the rule
 */
export function imageSource(image: string, rules: ImageRules): ImageSource {
  const written = parse(image);
  const mapped = mapImage(image, written, rules.imageMap ?? {});
  const prefix = rules.imagePrefix ?? 'docker://';
  const isPlain = !isOwnKind(image);
  const found =
    mapped !== undefined ? parse(mapped) : isPlain && prefix !== 'docker://' ? parse(`${prefix}${image}`) : written;
  const source = mirrored(found, rules.imageMirrors ?? {});
  // A pod may bring a prefix of its own, so the name before it says nothing; maps and mirrors are the site's.
  const named = mapped === undefined ? found : written;
  checkAllowed(image, [...namesOf(named), ...namesOf(source)], rules.imageAllow);
  return mapped === undefined ? bounded(image, source, rules.imagePaths ?? IMAGE_PATHS) : source;
}

function isOwnKind(image: string): boolean {
  return image.startsWith('/') || SCHEME.test(image) || ARCHIVE.test(image);
}

function parse(text: string): ImageSource {
  if (text.startsWith('/')) return { kind: 'path', path: posix.normalize(text) };
  const [, , archive] = ARCHIVE.exec(text) ?? [];
  if (archive !== undefined) return { kind: 'archive', path: posix.normalize(archive), url: text };
  const scheme = SCHEME.exec(text)?.[1];
  switch (scheme) {
    case undefined:
      return registrySource('docker', text);
    case 'docker':
    case 'oras':
      return registrySource(scheme, text.slice(`${scheme}://`.length));
    case 'library':
    case 'https':
      return { kind: 'url', url: text };
    case 'shub':
      throw refused(`${JSON.stringify(text)}: Singularity Hub was shut down in 2021; copy the image to a registry`);
    default:
      throw refused(`${JSON.stringify(text)}: images are not fetched by ${scheme}://; use ${KNOWN}`);
  }
}

function registrySource(scheme: 'docker' | 'oras', name: string): ImageSource {
  const reference = parseImageReference(name);
  return { kind: 'registry', scheme, reference, repository: `${reference.domain}/${reference.path}` };
}

/**
 * The first entry whose key is the image without tag and digest, or ends in a slash and starts it: what comes behind is then kept. The name counts as the pod
 * wrote it, and as it is in full (`docker.io/library/…`).
 */
function mapImage(image: string, written: ImageSource, map: Readonly<Record<string, string>>): string | undefined {
  const names = new Set([image, ...(written.kind === 'registry' ? [renderReference(written.reference)] : [])]);
  for (const [key, value] of Object.entries(map))
    for (const name of names) {
      if (key.endsWith('/') && name.startsWith(key)) return `${value.replace(/\/$/, '')}/${name.slice(key.length)}`;
      if (name === key || (name.startsWith(key) && /^[:@]/.test(name.slice(key.length)))) return value;
    }
  return undefined;
}

/** The longest key that is the registry, or the beginning of the repository up to a slash, is replaced by its value. */
function mirrored(source: ImageSource, mirrors: Readonly<Record<string, string>>): ImageSource {
  if (source.kind !== 'registry') return source;
  const { domain, path, ...version } = source.reference;
  const name = `${domain}/${path}`;
  const key = Object.keys(mirrors)
    .filter((candidate) => name === candidate || name.startsWith(`${candidate.replace(/\/$/, '')}/`))
    .toSorted((a, b) => b.length - a.length)[0];
  if (key === undefined) return source;
  const rest = name.slice(key.replace(/\/$/, '').length);
  const target = parseImageReference(`${(mirrors[key] ?? '').replace(/\/$/, '')}${rest}`);
  return { ...source, reference: { domain: target.domain, path: target.path, ...version } };
}

/** What globs are compared with: without and with the version. */
function namesOf(source: ImageSource): readonly string[] {
  if (source.kind === 'path') return [source.path];
  if (source.kind !== 'registry') return [source.url];
  const { domain, path } = source.reference;
  const scheme = source.scheme === 'docker' ? '' : `${source.scheme}://`;
  return [`${scheme}${domain}/${path}`, `${scheme}${renderReference(source.reference)}`];
}

function checkAllowed(image: string, names: readonly string[], allow: readonly string[] | undefined): void {
  if (allow === undefined || names.some((name) => allow.some((glob) => matchesGlob(glob, name)))) return;
  throw refused(
    `image ${JSON.stringify(image)} (${names[0]}) is not allowed at this site; allowed are ${allow.join(', ')} (sidecar.runtime.imageAllow)`,
  );
}

/** A path that the pod may name, with what its real path must be below. */
function bounded(image: string, source: ImageSource, below: readonly string[]): ImageSource {
  if (source.kind !== 'path' && source.kind !== 'archive') return source;
  if (below.some((directory) => isBelow(source.path, directory))) return { ...source, below };
  throw refused(
    `image ${JSON.stringify(image)}: images by path are allowed below ${below.join(', ') || 'no directory'} only (sidecar.runtime.imagePaths)`,
  );
}

/** Whether `path` is `directory` or lies in it; both absolute and without `..`. */
export function isBelow(path: string, directory: string): boolean {
  const base = directory.replace(/\/+$/, '');
  return path === base || path.startsWith(`${base}/`);
}

/** `*` and `?` stand for characters of one part of a path, `**` for any. */
function matchesGlob(glob: string, text: string): boolean {
  const pattern = glob.replace(/\*\*|[*?]|[\\^$.|+()[\]{}]/g, (token) =>
    token === '**' ? '.*' : token === '*' ? '[^/]*' : token === '?' ? '[^/]' : `\\${token}`,
  );
  return new RegExp(`^${pattern}$`).test(text);
}

function refused(message: string): InterlinkError {
  return new InterlinkError('Invalid', message, { code: 'image.refused' });
}
