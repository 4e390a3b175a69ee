import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { systemCodeOf } from '../base/errors.ts';
import type { JobDirectory } from '../contract/job-directory.ts';
import type { Pod } from '../kube/types.ts';
import { networkFiles } from './network-files.ts';
import { podAddress } from './pod-address.ts';

/** Address and name of the pod, and the files that tell its containers. */
export interface PodNetwork {
  readonly podIP: string;
  readonly hostname: string;
  /** Path in a container → path of the file on the worker. */
  readonly files: ReadonlyMap<string, string>;
}

/**
 * Finds the pod's address and writes `/etc/hosts`, `/etc/hostname` and `/etc/resolv.conf` into the job directory, readable for every user of
 * the containers.
 * @throws Invalid as {@link networkFiles}
 */
export async function makePodNetwork(directory: JobDirectory, pod: Pod): Promise<PodNetwork> {
  const podIP = podAddress();
  const worker = {
    podIP,
    hostname: hostname(),
    hosts: await read('/etc/hosts'),
    resolvConf: await read('/etc/resolv.conf'),
  };
  const made = networkFiles(pod, worker);
  const root = join(directory.root, 'etc');
  await mkdir(root, { recursive: true, mode: 0o700 });
  const files = new Map<string, string>();
  for (const [name, text] of [
    ['hosts', made.hosts],
    ['hostname', made.hostnameFile],
    ['resolv.conf', made.resolvConf],
  ] as const) {
    const path = join(root, name);
    await writeFile(path, text, { mode: 0o644 });
    files.set(`/etc/${name}`, path);
  }
  return { podIP, hostname: made.hostname, files };
}

async function read(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if (systemCodeOf(error) === 'ENOENT') return '';
    throw error;
  }
}
