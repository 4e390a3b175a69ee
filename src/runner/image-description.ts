import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { InterlinkError, isKind, systemCodeOf } from '../base/errors.ts';
import { type ImageConfig, parseConfigObject } from './image-config.ts';

/** An image that lies on the worker as directories: what the cache keeps of it as a file. */
export interface ImageDescription {
  /** Absolute paths of unpacked directories, the topmost layer first; at least one. */
  readonly layers: readonly string[];
  readonly config: ImageConfig;
  /** Bytes on disk. */
  readonly sizeBytes: number;
  /** What the tool calls it. */
  readonly id?: string;
}

/** What a tool has made: {@link ImageDescription} with the `config` of the OCI image configuration as it came. */
export interface MadeImage extends Omit<ImageDescription, 'config'> {
  readonly config: unknown;
}

/** The description as the text of a file. */
export function renderImageDescription(image: MadeImage): string {
  return JSON.stringify({ ...image, config: image.config ?? {} });
}

/**
 * Parses {@link renderImageDescription}'s text.
 * @throws Invalid with code `ImageInspectError` when it is none.
 */
export function parseImageDescription(text: string): ImageDescription {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw fault('the description of the image is no JSON', error);
  }
  const { layers, config, sizeBytes, id } = (typeof value === 'object' ? (value ?? {}) : {}) as Record<string, unknown>;
  if (!Array.isArray(layers) || layers.length === 0 || !layers.every(isPath))
    throw fault('the description of the image names no directories');
  return {
    layers,
    config: parseConfigObject(config),
    sizeBytes: typeof sizeBytes === 'number' ? sizeBytes : 0,
    ...(typeof id === 'string' && { id }),
  };
}

/** The description in a file; undefined when that is not there or holds none. */
export async function readImageDescription(path: string): Promise<ImageDescription | undefined> {
  try {
    return parseImageDescription(await readFile(path, 'utf8'));
  } catch (error) {
    if (systemCodeOf(error) === 'ENOENT' || isKind(error, 'Invalid')) return undefined;
    throw error;
  }
}

/** Every description in a cache, also of images that are about to be removed, by the path of its file. */
export async function readImageDescriptions(
  directory: string,
  suffix: string,
): Promise<ReadonlyMap<string, ImageDescription>> {
  const found = new Map<string, ImageDescription>();
  for (const place of [directory, join(directory, 'doomed')])
    for (const name of await readdir(place)) {
      const path = join(place, name);
      const description = name.endsWith(suffix) ? await readImageDescription(path) : undefined;
      if (description) found.set(path, description);
    }
  return found;
}

/** Whether the file describes an image all of whose layers are there. */
export async function hasLayers(path: string): Promise<boolean> {
  const description = await readImageDescription(path);
  const found = await Promise.all((description?.layers ?? []).map((layer) => stat(layer).catch(() => undefined)));
  return found.length > 0 && found.every((layer) => layer?.isDirectory());
}

function isPath(value: unknown): value is string {
  return typeof value === 'string' && value.startsWith('/');
}

function fault(message: string, cause?: unknown): InterlinkError {
  return new InterlinkError('Invalid', message, { code: 'ImageInspectError', cause });
}
