import { stat } from 'node:fs/promises';
import { InterlinkError } from '../base/errors.ts';
import type { RuntimeSettings } from '../contract/job-directory.ts';
import type { PullContext, ResolvedImage } from './container-runtime.ts';
import type { ImageCache } from './image-cache.ts';
import { parseImageReference } from './image-reference.ts';

type PullPolicy = 'Always' | 'IfNotPresent' | 'Never';

/**
 * Finds or fetches an image: a path (the site's map leads there, or the pod names one) is used as it is, anything else is pulled into the cache.
 *
 * @throws InterlinkError whose `code` is an `ImageFault`.
 */
export async function resolveApptainerImage(
  image: string,
  policy: PullPolicy,
  { imageMap = {}, imagePrefix = 'docker://' }: Pick<RuntimeSettings, 'imageMap' | 'imagePrefix'>,
  { cache, pull, signal }: { readonly cache: ImageCache; readonly pull: PullContext; readonly signal: AbortSignal },
): Promise<ResolvedImage> {
  const own = image.startsWith('/') || /^[a-z][a-z0-9+.-]*:\/\//.test(image);
  // A kubelet looks at the name before anything else; a site's map does not make a wrong one right.
  if (!own) parseImageReference(image);
  const mapped = mapImage(image, imageMap) ?? (own ? image : `${imagePrefix}${image}`);
  if (mapped.startsWith('/')) return localImage(image, mapped, policy);
  const found = await cache.find(mapped);
  if (policy === 'Never' && !found) throw neverPull(image);
  if (found && policy !== 'Always') return { path: found, imageId: image };
  pull.onPulling();
  return { path: await cache.pull(mapped, signal, policy === 'Always'), imageId: image };
}

async function localImage(image: string, path: string, policy: PullPolicy): Promise<ResolvedImage> {
  try {
    await stat(path);
  } catch (error) {
    if (policy === 'Never') throw neverPull(image);
    throw new InterlinkError('NotFound', `image ${JSON.stringify(image)}: ${path} cannot be reached on this worker`, {
      code: 'ErrImagePull',
      cause: error,
    });
  }
  return { path, imageId: image };
}

/** The first entry whose key is the image without tag and digest, or ends in a slash and starts it: what comes behind is then kept. */
function mapImage(image: string, map: Readonly<Record<string, string>>): string | undefined {
  for (const [key, value] of Object.entries(map)) {
    if (key.endsWith('/') && image.startsWith(key)) return `${value.replace(/\/$/, '')}/${image.slice(key.length)}`;
    if (image === key || (image.startsWith(key) && /^[:@]/.test(image.slice(key.length)))) return value;
  }
  return undefined;
}

function neverPull(image: string): InterlinkError {
  return new InterlinkError(
    'NotFound',
    `Container image ${JSON.stringify(image)} is not present with pull policy of Never`,
    {
      code: 'ErrImageNeverPull',
    },
  );
}
