import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import type { Clock } from '../base/clock.ts';
import type { Logger } from '../base/logger.ts';
import { renderReference } from '../contract/image-reference.ts';
import type { ImageSource } from '../contract/image-source.ts';
import type { PullContext, ResolvedImage } from './container-runtime.ts';
import { type FetchedImage, ImageCache } from './image-cache.ts';
import { ImageNames, type NamedImage } from './image-names.ts';
import type { RegistryTrust } from './image-options.ts';
import type { ImagePuller } from './image-puller.ts';
import { withLoginFile } from './login-file.ts';
import { isLoopbackRegistry } from './loopback-registry.ts';
import type { RegistryClient } from './registry-client.ts';
import type { RegistryCredential } from './registry-keyring.ts';

export interface ImageStoreDeps {
  /** Directory of the cache; shared by the jobs of one user. */
  readonly directory: string;
  readonly maxBytes?: number | undefined;
  readonly puller: ImagePuller;
  /** Where logins lie for the time of a pull on a worker without room in memory. */
  readonly loginDirectory: string;
  /** The proxies of the site. */
  readonly environment: Readonly<Record<string, string>>;
  readonly registries: RegistryTrust;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** What is wanted of an image that is not a file of the site. */
export interface ImageWish {
  readonly source: Exclude<ImageSource, { readonly kind: 'path' }>;
  readonly policy: 'Always' | 'IfNotPresent' | 'Never';
  readonly pull: PullContext;
  readonly signal: AbortSignal;
}

/** What is here now. */
export interface StoredImage extends Pick<ResolvedImage, 'path' | 'pulled'> {
  readonly digest?: string;
}

type RegistrySource = ImageSource & { readonly kind: 'registry' };
type ArchiveSource = ImageSource & { readonly kind: 'archive' };

/**
 * Images of registries and archives, by the rules of a kubelet: what is here is used without a question under `IfNotPresent`, `Always` asks the registry for the digest
 * alone and downloads only what is not here. A pod gets an image that another pod has pulled with a login only when it can show that login, or the registry gives
 * it the image too.
 *
 * @see https://github.com/kubernetes/enhancements/issues/2535
 */
export class ImageStore {
  readonly #deps: ImageStoreDeps;
  readonly #cache: ImageCache;
  readonly #names: ImageNames;
  #registry: Promise<RegistryClient> | undefined;

  constructor(deps: ImageStoreDeps) {
    this.#deps = deps;
    this.#cache = new ImageCache(deps);
    this.#names = new ImageNames(join(deps.directory, 'names'));
  }

  /**
   * The image, which stays until {@link close}; undefined when it is not here and must not be fetched.
   * @throws Unavailable with code `ErrImagePull` and the words of the registry or the tool; `signal.reason`
   */
  async get(wish: ImageWish): Promise<StoredImage | undefined> {
    const { source, policy } = wish;
    if (source.kind === 'archive') return this.#convert(source, wish);
    const name = source.kind === 'registry' ? `${source.scheme}://${renderReference(source.reference)}` : source.url;
    const known = await this.#names.read(name);
    if (policy !== 'Always' && known && this.#mayUse(source, known, wish)) {
      const path = await this.#cache.find(known.key);
      if (path !== undefined) return { path, ...(known.digest !== undefined && { digest: known.digest }) };
    }
    if (policy === 'Never') return undefined;
    wish.pull.onPulling();
    return source.kind === 'registry' ? this.#pull(name, source, wish) : this.#download(name, wish);
  }

  async close(): Promise<void> {
    await this.#cache.close();
    (await this.#registry)?.[Symbol.dispose]();
  }

  #mayUse(source: ImageWish['source'], known: NamedImage, { pull }: ImageWish): boolean {
    if (known.isPublic || source.kind !== 'registry') return true;
    return credentialsOf(source, pull).some((credential) => known.logins.includes(hashOf(credential)));
  }

  async #pull(name: string, source: RegistrySource, { pull, signal }: ImageWish): Promise<StoredImage> {
    const { clock, puller, loginDirectory, logger } = this.#deps;
    const begunMs = clock.monotonicMs();
    const { reference, scheme } = source;
    const registry = await this.#client();
    const { digest, credential } = await registry.resolve(reference, credentialsOf(source, pull), signal);
    const url = `${scheme}://${renderReference({ ...reference, digest })}`;
    const fetched = await this.#cache.fetch({
      // The digest of a list of manifests stands for another content on each architecture.
      key: `${digest.replace(':', '-')}-${process.arch}`,
      signal,
      make: async (place) => {
        if (credential === undefined) await puller.pull({ ...place, url, signal });
        else
          await withLoginFile(reference.domain, credential, { directory: loginDirectory, logger }, (loginFile) =>
            puller.pull({ ...place, url, loginFile, signal }),
          );
        return undefined;
      },
    });
    const before = await this.#names.read(name);
    const same = before?.digest === digest ? before : undefined;
    await this.#names.write({
      name,
      key: fetched.key,
      digest,
      isPublic: credential === undefined || same?.isPublic === true,
      logins: [...new Set([...(same?.logins ?? []), ...(credential ? [hashOf(credential)] : [])])],
    });
    if (fetched.isNew) await this.#pruneNames();
    return { path: fetched.path, digest, pulled: this.#took(fetched, begunMs) };
  }

  async #pruneNames(): Promise<void> {
    const { clock, logger } = this.#deps;
    try {
      await this.#names.prune(clock.nowMs(), (key) => this.#cache.has(key));
    } catch (error) {
      // The pod has its image; the next pull tries again.
      logger.warn('names of images that are gone cannot be forgotten', { err: error });
    }
  }

  /** What has no digest before it is here is named by its own content. `Always` means a download each time. */
  async #download(url: string, { policy, signal }: ImageWish): Promise<StoredImage> {
    const { clock, puller } = this.#deps;
    const begunMs = clock.monotonicMs();
    const fetched = await this.#cache.fetch({
      key: `url-${sha256(url)}`,
      signal,
      look: async () => (policy === 'Always' ? undefined : (await this.#names.read(url))?.key),
      make: async (place) => {
        await puller.pull({ ...place, url, signal });
        const digest = await fileDigest(place.target);
        const key = digest.replace(':', '-');
        await this.#names.write({ name: url, key, digest, isPublic: true, logins: [] });
        return key;
      },
    });
    const digest = (await this.#names.read(url))?.digest;
    return { path: fetched.path, ...(digest !== undefined && { digest }), pulled: this.#took(fetched, begunMs) };
  }

  /** A file of the site in a form that has to be converted once for each of its versions. */
  async #convert({ path, url }: ArchiveSource, { signal }: ImageWish): Promise<StoredImage> {
    const { puller } = this.#deps;
    const { mtimeMs, size } = await stat(path);
    const fetched = await this.#cache.fetch({
      key: `archive-${sha256(`${process.arch} ${url} ${mtimeMs} ${size}`)}`,
      signal,
      make: async (place) => {
        await puller.pull({ ...place, url, signal });
        return undefined;
      },
    });
    return { path: fetched.path };
  }

  #client(): Promise<RegistryClient> {
    const { environment, registries } = this.#deps;
    // Most jobs find their image in the cache and never need it.
    this.#registry ??= import('./registry-client.ts').then(
      ({ RegistryClient }) =>
        new RegistryClient({
          environment,
          isPlain: (domain) =>
            registries.plain === 'all' ||
            (registries.plain === 'loopback' && isLoopbackRegistry(`docker://${domain}/`)),
          isInsecure: registries.isInsecure,
        }),
    );
    return this.#registry;
  }

  #took({ sizeBytes, waitedMs }: FetchedImage, begunMs: number): NonNullable<ResolvedImage['pulled']> {
    const wholeMs = this.#deps.clock.monotonicMs() - begunMs;
    return { durationMs: wholeMs - waitedMs, waitedMs, sizeBytes };
  }
}

function credentialsOf(
  { reference: { domain, path } }: RegistrySource,
  pull: PullContext,
): readonly RegistryCredential[] {
  return pull.keyring.lookup(`${domain}/${path}`);
}

/** By which a login is known again; the file that holds it is as private as the image. */
function hashOf({ username, password }: RegistryCredential): string {
  return sha256(`${username}\0${password.reveal()}`);
}

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}

async function fileDigest(path: string): Promise<string> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(path), hash);
  return `sha256:${hash.digest('hex')}`;
}
