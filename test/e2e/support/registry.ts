import { readFileSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Secret } from '../../../src/kube/types.ts';
import { outputOf } from './command.ts';
import { environment } from './environment.ts';

/** The registry of the set-up, which wants a login for everything. */
export interface Registry {
  /** `localhost:port`. */
  readonly host: string;
  readonly user: string;
  readonly password: string;
  /** The Secret with the login, or with another password. */
  secret(name: string, password?: string): Secret;
  /** Puts the test image under this name; containers of it see `mark` as `$MARK`. Returns its digest. */
  push(repository: string, tag: string, mark: string): Promise<string>;
  /** How often each blob of a repository has been downloaded. */
  downloads(repository: string): ReadonlyMap<string, number>;
}

export function openRegistry(): Registry {
  const directory = join(environment.directory, 'registry');
  const facts = readFileSync(join(directory, 'env'), 'utf8');
  const value = (name: string): string => new RegExp(`^${name}=(.*)$`, 'm').exec(facts)?.[1] ?? '';
  const [host, user, password] = [value('REGISTRY'), value('REGISTRY_USER'), value('REGISTRY_PASSWORD')];
  return {
    host,
    user,
    password,
    secret: (name, other = password) => ({
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: { name },
      type: 'kubernetes.io/dockerconfigjson',
      stringData: { '.dockerconfigjson': JSON.stringify({ auths: { [host]: { username: user, password: other } } }) },
    }),
    async push(repository, tag, mark) {
      const work = await mkdtemp(join(tmpdir(), 'interlink-push-'));
      try {
        await outputOf(['tar', '-C', work, '-xf', environment.imageSif.replace(/\.sif$/, '.tar')]);
        const config = JSON.parse(await readFile(join(work, 'config.json'), 'utf8'));
        config.config.Env.push(`MARK=${mark}`);
        await writeFile(join(work, 'config.json'), JSON.stringify(config));
        await outputOf(['tar', '-C', work, '-cf', join(work, 'i.tar'), 'manifest.json', 'config.json', 'layer.tar']);
        const to = `docker://${host}/${repository}:${tag}`;
        const login = ['--dest-authfile', join(directory, 'login.json'), '--dest-tls-verify=false'];
        const digestFile = join(work, 'digest');
        await outputOf([
          'skopeo',
          'copy',
          '-q',
          ...login,
          '--digestfile',
          digestFile,
          `docker-archive:${join(work, 'i.tar')}`,
          to,
        ]);
        return (await readFile(digestFile, 'utf8')).trim();
      } finally {
        await rm(work, { recursive: true });
      }
    },
    downloads(repository) {
      const counts = new Map<string, number>();
      const line = new RegExp(`"GET /v2/${repository}/blobs/(sha256:\\w+) HTTP/1.1" 200 `, 'g');
      for (const [, digest = ''] of readFileSync(join(directory, 'log'), 'utf8').matchAll(line))
        counts.set(digest, (counts.get(digest) ?? 0) + 1);
      return counts;
    },
  };
}
