import { readFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { type Command, Option } from 'commander';
import { systemClock } from '../../base/clock.ts';
import { InterlinkError, messageOf } from '../../base/errors.ts';
import { silentLogger } from '../../base/logger.ts';
import { Secret } from '../../base/secret.ts';
import { loadConfig } from '../../config/load-config.ts';
import { RUNTIME_NAMES, type RuntimeName } from '../../contract/job-directory.ts';
import { createRemoteSidecar } from '../../contract/remote-sidecar.ts';
import type { Sidecar } from '../../contract/sidecar.ts';
import { parseAddress } from '../../http/address.ts';
import { sidecarConfig } from '../../sidecar/config.ts';
import { createLocalSidecar } from '../../sidecar/create-local-sidecar.ts';
import { buildInfo } from '../build-info.ts';
import type { CliInput } from '../cli-command.ts';
import type { CliIo } from '../cli-io.ts';
import { addConfigOption, configSources } from '../config-options.ts';

/** Adds the options that say where the pod runs. */
export function addPlaceOptions(command: Command): void {
  command
    .optionsGroup('Where the pod runs (on this machine unless --url is given):')
    .addOption(new Option('--url <address>', 'proxy or sidecar: https://host:port or unix:/path'))
    .addOption(new Option('--token-file <file>', 'bearer token for --url'))
    .addOption(new Option('--ca-file <file>', 'certificates that the server of --url may be signed by'))
    .addOption(new Option('--runtime <name>', 'how containers are made on this machine').choices(RUNTIME_NAMES))
    .addOption(new Option('--image-map <name=path,…>', 'SIF files or directories to use for image names or prefixes'));
  addConfigOption(command);
}

/**
 * The place that the options name: a site reached by `--url`, else a sidecar in this process that leaves nothing behind.
 * @throws Invalid for options that contradict each other, Unsupported when this machine cannot make containers
 */
export async function openSidecar(input: CliInput, io: CliIo, say: (line: string) => void): Promise<Sidecar> {
  const { url, tokenFile, caFile, runtime, imageMap } = input.options;
  if (typeof url === 'string') {
    for (const [name, value] of Object.entries({ '--runtime': runtime, '--image-map': imageMap }))
      if (value !== undefined) throw usage(`${name} is for this machine; the site of --url decides for itself`);
    return openRemote(url, tokenFile, caFile);
  }
  for (const [name, value] of Object.entries({ '--token-file': tokenFile, '--ca-file': caFile }))
    if (value !== undefined) throw usage(`${name} needs --url`);

  const { values } = await loadConfig({ sidecar: sidecarConfig }, configSources(input, io), { optional: true });
  const settings = Object.fromEntries(
    Object.entries(values.sidecar.runtime).filter(([, value]) => value !== undefined),
  ) as { name: RuntimeName };
  const name = RUNTIME_NAMES.find((known) => known === runtime) ?? settings.name;
  if (name === 'process')
    say(
      'runtime process: the commands run on the file system of this machine; only volumes and processes are separate',
    );
  const { volumes, policy, scratch } = values.sidecar;
  const cache = io.env.XDG_CACHE_HOME || join(homedir(), '.cache');
  return createLocalSidecar({
    site: { volumes, policy, scratch },
    runtime: {
      ...(name !== 'podman' && { imageCache: join(cache, 'interlink/images') }),
      ...settings,
      name,
      // Whoever types the command can read what the pod will.
      imagePaths: ['/'],
      ...(typeof imageMap === 'string' ? { imageMap: parseImageMap(imageMap) } : {}),
    },
    clock: systemClock,
    logger: silentLogger,
    environment: Object.fromEntries(
      Object.entries(io.env).flatMap(([key, value]) => (value === undefined ? [] : [[key, value]])),
    ),
    version: buildInfo().version,
  });
}

async function openRemote(url: string, tokenFile: unknown, caFile: unknown): Promise<Sidecar> {
  const address = parseAddress(url);
  if (typeof tokenFile === 'string' && address.kind === 'tcp' && !address.tls && !isLoopback(address.host))
    throw usage('--token-file needs https; over http everybody on the way could read the token');
  return createRemoteSidecar({
    address,
    codec: 'api',
    clock: systemClock,
    ...(typeof caFile === 'string' ? { tls: { caFile } } : {}),
    ...(typeof tokenFile === 'string' ? { token: async () => new Secret((await readText(tokenFile)).trim()) } : {}),
  });
}

function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || host.startsWith('127.');
}

async function readText(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    throw usage(`${file}: ${messageOf(error)}`);
  }
}

function parseImageMap(text: string): Record<string, string> {
  const pairs = text.split(',').map((pair) => {
    const at = pair.indexOf('=');
    if (at < 1 || !pair.slice(at + 1).startsWith('/'))
      throw usage(`--image-map ${JSON.stringify(pair)}: write name=/absolute/path`);
    return [pair.slice(0, at), pair.slice(at + 1)] as const;
  });
  return Object.fromEntries(pairs);
}

function usage(message: string): InterlinkError {
  return new InterlinkError('Invalid', message, { code: 'cli.usage' });
}
