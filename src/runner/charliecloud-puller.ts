import { createHash, randomBytes } from 'node:crypto';
import { readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { CommandResult, CommandRunner } from '../base/command.ts';
import { InterlinkError, systemCodeOf } from '../base/errors.ts';
import { writeFileAtomic } from '../base/files.ts';
import { hasLayers, readImageDescription, renderImageDescription } from './image-description.ts';
import { type ImagePuller, PULL_TIMEOUT_MS } from './image-puller.ts';
import { parseImageReference } from './image-reference.ts';

export interface CharliecloudPullerDeps {
  readonly program: string;
  /** Options of the site for the pull: `--tls-no-verify`. */
  readonly options: readonly string[];
  /** The whole environment of the program; it needs PATH and USER. */
  readonly environment: Readonly<Record<string, string>>;
  readonly commands: CommandRunner;
}

/** Name of the image in the storage of a single pull. */
const NAME = 'image';

/**
 * Images as directories, unpacked by `ch-image pull`, each with a description of its layers and configuration.
 *
 * Every pull has a storage directory of its own, as Charliecloud lets only one program at a time into one; what it downloads is dropped after it.
 * @see https://hpc.github.io/charliecloud/ch-image.html (Storage directory)
 */
export function charliecloudPuller(deps: CharliecloudPullerDeps): ImagePuller {
  const { program, options, environment, commands } = deps;
  return {
    suffix: '.json',
    async pull({ url, target, directory, signal }) {
      const reference = charliecloudName(url);
      const storage = `${target}.storage`;
      const rootfs = join(directory, `rootfs-${randomBytes(8).toString('hex')}`);
      try {
        const result = await commands.run([program, '--storage', storage, ...options, 'pull', reference, NAME], {
          // The build cache needs git, and holds every image twice.
          env: { ...environment, CH_IMAGE_CACHE: 'disabled' },
          timeoutMs: PULL_TIMEOUT_MS,
          signal,
        });
        if (result.exitCode !== 0) throw pullFault(program, result);
        const image = join(storage, 'img', NAME);
        const config = await readConfig(join(image, 'ch/config.pulled.json'));
        const manifest = await readFile(join(storage, `dlcache/${NAME}.fat.json`)).catch(absent);
        await rename(image, rootfs);
        await writeFileAtomic(target, renderImageDescription([rootfs], config, manifest && digestOf(manifest)));
      } finally {
        await rm(storage, { recursive: true, force: true });
      }
    },
    has: hasLayers,
    async remove(path) {
      const description = await readImageDescription(path);
      await rm(path, { force: true });
      for (const layer of description?.layers ?? []) await rm(layer, { recursive: true, force: true });
    },
  };
}

/** The name as `ch-image` wants it: it does not know that `docker.io` is not where Docker Hub's registry is. */
function charliecloudName(url: string): string {
  const name = url.replace(/^docker:\/\//, '');
  if (/^[a-z][a-z0-9+.-]*:\/?\//.test(name))
    throw new InterlinkError('Unsupported', `${url}: Charliecloud pulls from registries only (docker://)`, {
      code: 'ErrImagePull',
    });
  const { domain, path, tag, digest } = parseImageReference(name);
  const host = domain === 'docker.io' ? 'registry-1.docker.io' : domain;
  // It takes one of them.
  const version = digest !== undefined ? `@${digest}` : `:${tag ?? 'latest'}`;
  return `${host}/${path}${version}`;
}

/** Its reason stands in the lines `error:` and `hint:`. */
function pullFault(program: string, { exitCode, stdout, stderr, timedOut }: CommandResult): InterlinkError {
  const lines = `${stdout}\n${stderr}`.split('\n').flatMap((line) => line.trim() || []);
  const said = lines.flatMap((line) => /^(?:error|hint): (.*)$/.exec(line)?.[1] ?? []);
  const words = timedOut ? `no end after ${PULL_TIMEOUT_MS / 3_600_000} hours` : said.join('; ') || lines.at(-1);
  return new InterlinkError('Unavailable', words ?? `${program} pull ended with exit code ${exitCode}`, {
    code: 'ErrImagePull',
    details: { exitCode },
  });
}

function digestOf(bytes: Buffer): string {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
}

/** `config` of the OCI image configuration; images of the oldest registries have none. */
async function readConfig(path: string): Promise<unknown> {
  const text = await readFile(path, 'utf8').catch(absent);
  return text === undefined ? undefined : (JSON.parse(text) as { config?: unknown } | null)?.config;
}

function absent(error: unknown): undefined {
  if (systemCodeOf(error) !== 'ENOENT') throw error;
}
