import { constants } from 'node:os';
import { InterlinkError } from '../base/errors.ts';

/** What an image says about how to run it; the fields of the OCI image configuration. */
export interface ImageConfig {
  readonly entrypoint: readonly string[];
  readonly cmd: readonly string[];
  readonly env: readonly (readonly [name: string, value: string])[];
  readonly workingDir?: string;
  /** `user`, `uid`, each with `:group` behind it or not; empty is root. */
  readonly user: string;
  /** What its program wants to be stopped with. */
  readonly stopSignal?: NodeJS.Signals;
}

/** A directory that no tool has described: a shell, as Apptainer does it. */
const PLAIN: ImageConfig = { entrypoint: [], cmd: ['/bin/sh'], env: [], user: '' };

/**
 * Parses the OCI configuration that Apptainer keeps in a SIF.
 * @throws Invalid with code `ImageInspectError` when it is not what it should be.
 * @see https://github.com/opencontainers/image-spec/blob/main/config.md
 */
export function parseOciConfig(text: string): ImageConfig {
  return parseConfigObject(parseJson(text));
}

/**
 * The same from JSON that has been parsed; null and undefined mean that everything is left out.
 * @throws as {@link parseOciConfig}
 */
export function parseConfigObject(value: unknown): ImageConfig {
  const { Entrypoint, Cmd, Env, WorkingDir, User, StopSignal } = asObject(value);
  return {
    entrypoint: texts(Entrypoint, 'Entrypoint'),
    cmd: texts(Cmd, 'Cmd'),
    env: texts(Env, 'Env').map((entry) => {
      const [name = '', ...rest] = entry.split('=');
      return [name, rest.join('=')] as const;
    }),
    ...(typeof WorkingDir === 'string' && WorkingDir !== '' ? { workingDir: WorkingDir } : {}),
    user: typeof User === 'string' ? User : '',
    ...stopSignalOf(StopSignal),
  };
}

/** By name, with or without `SIG`, or number. One that this machine does not name (`SIGRTMIN+3`) is left out. */
function stopSignalOf(value: unknown): Pick<ImageConfig, 'stopSignal'> {
  if (typeof value !== 'string') return {};
  const known = Object.entries(constants.signals) as [NodeJS.Signals, number][];
  const name = `SIG${value.toUpperCase().replace(/^SIG/, '')}`;
  const found = known.find(([signal, number]) => signal === name || String(number) === value);
  return found ? { stopSignal: found[0] } : {};
}

function texts(value: unknown, field: string): readonly string[] {
  if (value === undefined || value === null) return [];
  if (Array.isArray(value) && value.every((entry) => typeof entry === 'string')) return value;
  throw new InterlinkError('Invalid', `the OCI configuration of the image has a wrong ${field}`, {
    code: 'ImageInspectError',
  });
}

/** Reads a file of the image by its path in it; undefined where there is none. */
export type ReadImageFile = (path: string) => Promise<string | undefined>;

/**
 * The configuration of an image without OCI configuration: from the scripts that Apptainer writes into images made from a registry; another image with a
 * run script has that as entrypoint; from the files of Charliecloud; a bare directory runs a shell.
 */
export async function readScriptConfig(read: ReadImageFile): Promise<ImageConfig> {
  const runScript = await read('/.singularity.d/runscript');
  if (runScript === undefined) return (await readCharliecloudConfig(read)) ?? PLAIN;
  const variables = (await read('/.singularity.d/env/10-docker2singularity.sh')) ?? '';
  const env = [...variables.matchAll(/^export (\w+)=(?:"\$\{\1:-"(.*)"\}"|"(.*)")$/gm)].map(
    ([, name = '', guarded, plain]) => [name, unquote(guarded ?? plain ?? '')] as const,
  );
  const entrypoint = /^OCI_ENTRYPOINT='(.*)'$/m.exec(runScript)?.[1];
  const cmd = /^OCI_CMD='(.*)'$/m.exec(runScript)?.[1];
  if (entrypoint === undefined && cmd === undefined)
    return { entrypoint: ['/.singularity.d/runscript'], cmd: [], env, user: '' };
  return { entrypoint: words(entrypoint ?? ''), cmd: words(cmd ?? ''), env, user: '' };
}

/**
 * What Charliecloud keeps in the images that it unpacks: the registry's own configuration, and of images that it has built what their build said.
 * @see https://hpc.github.io/charliecloud/ch-image.html (Image metadata)
 */
async function readCharliecloudConfig(read: ReadImageFile): Promise<ImageConfig | undefined> {
  const metadata = await read('/ch/metadata.json');
  if (metadata === undefined) return undefined;
  const pulled = await read('/ch/config.pulled.json');
  const { entrypoint, cmd, user } = pulled === undefined ? PLAIN : parseConfigObject(objectOf(pulled).config);
  const { cwd, env } = objectOf(metadata);
  const variables = Object.entries(typeof env === 'object' ? (env ?? {}) : {});
  return {
    entrypoint,
    cmd,
    env: variables.map(([name, value]) => [name, String(value)] as const),
    ...(typeof cwd === 'string' && { workingDir: cwd }),
    user,
  };
}

function objectOf(text: string): Readonly<Record<string, unknown>> {
  return asObject(parseJson(text));
}

function asObject(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new InterlinkError('Invalid', 'the OCI configuration of the image is no JSON', {
      code: 'ImageInspectError',
      cause: error,
    });
  }
}

/** The words of a list as the run script writes it: each in double quotes. */
function words(text: string): readonly string[] {
  return [...text.replaceAll("'\\''", "'").matchAll(/"((?:[^"\\]|\\.)*)"/g)].map(([, word = '']) => unquote(word));
}

function unquote(text: string): string {
  return text.replace(/\\(["\\$`])/g, '$1');
}
