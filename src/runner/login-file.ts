import { randomBytes } from 'node:crypto';
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { makePrivateDirectory, PRIVATE_FILE } from '../base/files.ts';
import type { Logger } from '../base/logger.ts';
import { makeMemoryDirectory } from './memory-directory.ts';
import type { RegistryCredential } from './registry-keyring.ts';

export interface LoginFileDeps {
  /** Where it lies on a worker without room in memory; the sidecar removes it with the pod's other secrets. */
  readonly directory: string;
  readonly logger: Logger;
  /** As of `makeMemoryDirectory`. */
  readonly parent?: string;
}

/**
 * Does `work` with a file as `docker login` writes it, 0600, that holds one login for one registry; the file is gone afterwards. It lies in memory, where the next
 * runner of the user removes what a killed one has left.
 */
export async function withLoginFile<T>(
  domain: string,
  { username, password }: RegistryCredential,
  deps: LoginFileDeps,
  work: (path: string) => Promise<T>,
): Promise<T> {
  const auth = Buffer.from(`${username}:${password.reveal()}`).toString('base64');
  // Tools look for Docker Hub by either name.
  const names = domain === 'docker.io' ? [domain, 'https://index.docker.io/v1/'] : [domain];
  const content = JSON.stringify({ auths: Object.fromEntries(names.map((name) => [name, { auth }])) });
  const directory = await makeDirectory(deps, content.length);
  try {
    const path = join(directory, 'config.json');
    await writeFile(path, content, { mode: PRIVATE_FILE, flag: 'wx' });
    return await work(path);
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

async function makeDirectory({ directory, logger, parent }: LoginFileDeps, needBytes: number): Promise<string> {
  const name = `login-${randomBytes(8).toString('hex')}`;
  const where = parent === undefined ? {} : { parent };
  const inMemory = await makeMemoryDirectory({ podUid: name, needBytes, logger, ...where });
  if (inMemory !== undefined) return inMemory;
  const path = join(directory, name);
  await makePrivateDirectory(path);
  return path;
}
