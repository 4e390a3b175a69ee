import { realpath } from 'node:fs/promises';
import { InterlinkError } from '../base/errors.ts';
import { type ImageRules, type ImageSource, imageSource, isBelow } from '../contract/image-source.ts';
import type { PullContext, ResolvedImage } from './container-runtime.ts';
import type { ImageStore } from './image-store.ts';

type PullPolicy = 'Always' | 'IfNotPresent' | 'Never';

/** What an image is got with. */
export interface ResolveImageTools {
  readonly store: ImageStore;
  readonly pull: PullContext;
  readonly signal: AbortSignal;
}

/**
 * Finds or fetches an image: a path (the site's map leads there, or the pod names one) is used as it is, anything else comes out of the store.
 *
 * @throws InterlinkError whose `code` is an `ImageFault`.
 */
export async function resolveApptainerImage(
  image: string,
  policy: PullPolicy,
  settings: ImageRules,
  { store, pull, signal }: ResolveImageTools,
): Promise<ResolvedImage> {
  const source = sourceOf(image, settings);
  if (source.kind === 'path' || source.kind === 'archive') await checkFile(image, source, policy);
  if (source.kind === 'path') return { path: source.path, imageId: image };
  const found = await store.get({ source, policy, pull, signal });
  if (found === undefined) throw neverPull(image);
  const { digest, ...stored } = found;
  const name = source.kind === 'registry' ? source.repository : image;
  return { ...stored, imageId: digest === undefined ? image : `${name}@${digest}` };
}

/** The sidecar has refused what the site does not allow; here it counts once more, for jobs that are older than the rule. */
function sourceOf(image: string, settings: ImageRules): ImageSource {
  try {
    return imageSource(image, settings);
  } catch (error) {
    if (!(error instanceof InterlinkError) || error.code !== 'image.refused') throw error;
    throw new InterlinkError('Forbidden', error.message, { code: 'ErrImagePull', cause: error });
  }
}

async function checkFile(
  image: string,
  { path, below }: ImageSource & { readonly kind: 'path' | 'archive' },
  policy: PullPolicy,
): Promise<void> {
  let real: string;
  try {
    real = await realpath(path);
  } catch (error) {
    if (policy === 'Never') throw neverPull(image);
    throw new InterlinkError('NotFound', `image ${JSON.stringify(image)}: ${path} cannot be reached on this worker`, {
      code: 'ErrImagePull',
      cause: error,
    });
  }
  if (below && !(await isReallyBelow(real, below)))
    throw new InterlinkError(
      'Forbidden',
      `image ${JSON.stringify(image)}: ${path} leads to ${real}; images by path are allowed below ${below.join(', ')} only (sidecar.runtime.imagePaths)`,
      { code: 'ErrImagePull' },
    );
}

/** Links may lead around in what is allowed, and nowhere else. */
async function isReallyBelow(real: string, below: readonly string[]): Promise<boolean> {
  for (const directory of below) {
    const base = await realpath(directory).catch(() => directory);
    if (isBelow(real, base)) return true;
  }
  return false;
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
