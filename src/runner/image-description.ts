import { readFile, stat } from 'node:fs/promises';
import { InterlinkError, isKind, systemCodeOf } from '../base/errors.ts';
import { type ImageConfig, parseConfigObject } from './image-config.ts';

/** An image that lies on the worker as directories: what the cache keeps of it as a file. */
export interface ImageDescription {
  /** Absolute paths of unpacked directories, the topmost layer first; at least one. */
  readonly layers: readonly string[];
  readonly config: ImageConfig;
  /** `sha256:…` of the registry's manifest, where the tool has told it. */
  readonly digest?: string;
}

/** The description as the text of a file; `config` is the `config` of the OCI image configuration as it came, an object. */
export function renderImageDescription(layers: readonly string[], config: unknown, digest: string | undefined): string {
  return JSON.stringify({ layers, config: config ?? {}, ...(digest !== undefined && { digest }) });
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
  const { layers, config, digest } = (typeof value === 'object' ? (value ?? {}) : {}) as Record<string, unknown>;
  if (!Array.isArray(layers) || layers.length === 0 || !layers.every(isPath))
    throw fault('the description of the image names no directories');
  return {
    layers,
    config: parseConfigObject(config),
    ...(typeof digest === 'string' && { digest }),
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
