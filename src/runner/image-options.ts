import { InterlinkError } from '../base/errors.ts';
import type { Mount } from './container-runtime.ts';

/** What a site may add to every container, in whatever words its tool has for it. */
export interface ImageRuntimeOptions {
  /** NVIDIA's driver libraries and devices go into each container. */
  readonly nvidia: boolean;
  /** AMD's. */
  readonly rocm: boolean;
  /** What the site puts into each container. */
  readonly binds: readonly Mount[];
  /** Options for the program that pulls, as they were given. */
  readonly pull: readonly string[];
}

/** How registries are asked, as the tool does it that pulls from them. */
export interface RegistryTrust {
  /** Those that are asked by plain HTTP; `loopback` are the ones on the worker itself. */
  readonly plain: 'all' | 'loopback' | 'none';
  /** Certificates do not count. */
  readonly isInsecure: boolean;
}

/** How a tool words its options. */
export interface OptionWords {
  /** The tool's name, for messages. */
  readonly tool: string;
  readonly nvidia: readonly string[];
  readonly rocm: readonly string[];
  /** Options that name a directory for the container; each takes a value, in the next word or behind `=`. */
  readonly bind: readonly string[];
  /** Options that are passed on when an image is pulled. */
  readonly pull: readonly string[];
  /** What every container has anyway; sites are used to writing it. */
  readonly implied: readonly string[];
  /** The options that have an effect, for the message about one that has none. */
  readonly known: string;
}

/**
 * Reads the site's options for its tool. Containers are not started by the tool, so only those are taken whose effect we give.
 * @throws Unsupported naming the first other one, Invalid for a directory that cannot be understood.
 */
export function parseImageOptions(options: readonly string[], words: OptionWords): ImageRuntimeOptions {
  const binds: Mount[] = [];
  const pull: string[] = [];
  let [nvidia, rocm] = [false, false];
  const split = options.flatMap((word) => {
    const name = words.bind.find((bind) => bind.startsWith('--') && word.startsWith(`${bind}=`));
    return name === undefined ? [word] : [name, word.slice(name.length + 1)];
  });
  for (let index = 0; index < split.length; index += 1) {
    const word = split[index] ?? '';
    if (words.nvidia.includes(word)) nvidia = true;
    else if (words.rocm.includes(word)) rocm = true;
    else if (words.pull.includes(word)) pull.push(word);
    else if (words.bind.includes(word)) {
      index += 1;
      binds.push(...(split[index] ?? '').split(',').map((text) => parseBind(word, text)));
    } else if (!words.implied.includes(word))
      throw new InterlinkError(
        'Unsupported',
        `runtime.options: ${JSON.stringify(word)} of ${words.tool} is not supported; known are ${words.known}`,
        { code: 'runtime.options' },
      );
  }
  return { nvidia, rocm, binds, pull };
}

function parseBind(option: string, text: string): Mount {
  const [source = '', target = source, mode = 'rw', ...rest] = text.split(':');
  if (!source.startsWith('/') || !target.startsWith('/') || !/^(ro|rw)$/.test(mode) || rest.length > 0)
    throw new InterlinkError(
      'Invalid',
      `runtime.options: ${option} ${JSON.stringify(text)} is not SOURCE[:TARGET[:ro]] with absolute paths`,
      { code: 'runtime.options' },
    );
  return { source, target, readOnly: mode === 'ro' };
}
