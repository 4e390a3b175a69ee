import { randomBytes } from 'node:crypto';
import { readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Clock } from '../base/clock.ts';
import type { CommandResult, CommandRunner } from '../base/command.ts';
import { InterlinkError, systemCodeOf } from '../base/errors.ts';
import { makePrivateDirectory, PRIVATE_FILE } from '../base/files.ts';
import { parseImageReference } from '../contract/image-reference.ts';
import { hasLayers, readImageDescription, readImageDescriptions, renderImageDescription } from './image-description.ts';
import { type ImagePuller, PULL_TIMEOUT_MS } from './image-puller.ts';
import { DEFAULT_PATH } from './image-tool.ts';
import { removeTree } from './remove-tree.ts';

export interface CharliecloudPullerDeps {
  readonly program: string;
  /** Options of the site for the pull: `--tls-no-verify`. */
  readonly options: readonly string[];
  /** The whole environment of the program; it needs PATH and USER. */
  readonly environment: Readonly<Record<string, string>>;
  readonly commands: CommandRunner;
  readonly clock: Clock;
}

/** No pull lasts so long. */
const ORPHAN_MS = 24 * 3_600_000;
const SUFFIX = '.charliecloud.json';
/** Name of the image in the storage of a single pull. */
const NAME = 'image';

/** Unpacked images in the cache, beside the descriptions that name them. */
const UNPACKED = 'charliecloud';

/**
 * Images as directories, unpacked by `ch-image pull`, each with a description of its layers and configuration.
 *
 * Every pull has a storage directory of its own, as Charliecloud lets only one program at a time into one; what it downloads is dropped after it.
 * @see https://hpc.github.io/charliecloud/ch-image.html (Storage directory)
 */
export function charliecloudPuller(deps: CharliecloudPullerDeps): ImagePuller {
  const { program, options, environment, commands } = deps;
  return {
    suffix: SUFFIX,
    async pull({ url, target, work, directory, loginFile, signal }) {
      const name = charliecloudName(url);
      const storage = join(work, 'storage');
      const login = loginFile === undefined ? undefined : await readLogin(loginFile);
      const words = ['--storage', storage, ...(login === undefined ? [] : ['--auth']), ...options, 'pull', name, NAME];
      const result = await commands.run([program, ...words], {
        // The build cache needs git, and holds every image twice.
        env: { ...environment, CH_IMAGE_CACHE: 'disabled' },
        timeoutMs: PULL_TIMEOUT_MS,
        signal,
        // It asks for user and password; without a terminal it takes them from here.
        ...(login !== undefined && { stdin: `${login.username}\n${login.password}\n` }),
      });
      if (result.exitCode !== 0) throw pullFault(program, result);
      const image = join(storage, 'img', NAME);
      const config = await readConfig(join(image, 'ch/config.pulled.json'));
      const sizeBytes = await sizeOf(image, deps, signal);
      await removeOrphans(directory, deps.clock);
      const place = join(directory, UNPACKED, randomBytes(8).toString('hex'));
      await makePrivateDirectory(dirname(place));
      await writeFile(target, renderImageDescription({ layers: [place], config, sizeBytes }), { mode: PRIVATE_FILE });
      await rename(image, place);
    },
    has: hasLayers,
    async sizeOf(path) {
      return (await readImageDescription(path))?.sizeBytes ?? 0;
    },
    async remove(path) {
      const description = await readImageDescription(path);
      for (const layer of description?.layers ?? []) await removeTree(layer);
      await rm(path, { force: true });
    },
  };
}

/** What no description names: of runners that were killed between the unpacking and the description's way to its place. */
async function removeOrphans(directory: string, clock: Clock): Promise<void> {
  const names = await readdir(join(directory, UNPACKED)).catch(absent);
  if (names === undefined || names.length === 0) return;
  const described = [...(await readImageDescriptions(directory, SUFFIX)).values()];
  const named = new Set(described.flatMap(({ layers }) => layers));
  for (const name of names) {
    const path = join(directory, UNPACKED, name);
    if (named.has(path)) continue;
    // Somebody else may be just about to name it.
    const found = await stat(path).catch(absent);
    if (found && clock.nowMs() - found.ctimeMs > ORPHAN_MS) await removeTree(path);
  }
}

async function sizeOf(
  path: string,
  { commands, environment }: CharliecloudPullerDeps,
  signal: AbortSignal,
): Promise<number> {
  const { stdout } = await commands.run(['du', '-sk', '--', path], {
    env: { PATH: `${environment.PATH}:${DEFAULT_PATH}`, LC_ALL: 'C' },
    timeoutMs: PULL_TIMEOUT_MS,
    signal,
  });
  return 1024 * Number(/^\d+/.exec(stdout)?.[0] ?? 0);
}

/** The one login of a file of `docker login`. */
async function readLogin(path: string): Promise<{ readonly username: string; readonly password: string }> {
  const { auths } = JSON.parse(await readFile(path, 'utf8')) as { auths: Record<string, { auth: string }> };
  const text = Buffer.from(Object.values(auths)[0]?.auth ?? '', 'base64').toString('utf8');
  const colon = text.indexOf(':');
  return { username: text.slice(0, colon), password: text.slice(colon + 1) };
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

/** `config` of the OCI image configuration; images of the oldest registries have none. */
async function readConfig(path: string): Promise<unknown> {
  const text = await readFile(path, 'utf8').catch(absent);
  return text === undefined ? undefined : (JSON.parse(text) as { config?: unknown } | null)?.config;
}

function absent(error: unknown): undefined {
  if (systemCodeOf(error) !== 'ENOENT') throw error;
}
