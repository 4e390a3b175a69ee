import { inspect } from 'node:util';
import { describe, expect, it } from 'vitest';
import type { Secret } from '../../../src/kube/types.ts';
import { RegistryKeyring } from '../../../src/runner/registry-keyring.ts';
import { RecordingLogger } from '../../fakes/recording-logger.ts';

const base64 = (text: string): string => Buffer.from(text).toString('base64');

function dockerConfigJson(auths: Record<string, unknown>, name = 's'): Secret {
  const data = { '.dockerconfigjson': base64(JSON.stringify({ auths })) };
  return { metadata: { name }, type: 'kubernetes.io/dockerconfigjson', data };
}

/** A login that can be told by its name. */
const login = (username: string): object => ({ username, password: `${username}-password`, email: 'x@y' });

function keyring(...secrets: Secret[]): RegistryKeyring {
  return RegistryKeyring.of(secrets, new RecordingLogger());
}

describe('the registry credentials of a pod', () => {
  it.each<[what: string, locations: string[], repository: string, found: string[]]>([
    ['a registry', ['ghcr.io'], 'ghcr.io/a/b', ['ghcr.io']],
    ['a registry with a port', ['r.site:5000', 'r.site'], 'r.site:5000/a', ['r.site:5000']],
    ['a registry without the port of the entry', ['r.site:5000'], 'r.site/a', []],
    ['an entry as a URL', ['https://r.site', 'http://r.site/'], 'r.site/a', ['https://r.site', 'http://r.site/']],
    [
      'an entry with an API version',
      ['https://r.site/v1/', 'r.site/v2/'],
      'r.site/a',
      ['https://r.site/v1/', 'r.site/v2/'],
    ],
    [
      'a path, which comes before the registry',
      ['r.site', 'r.site/a/b', 'r.site/a'],
      'r.site/a/b/c',
      ['r.site/a/b', 'r.site/a', 'r.site'],
    ],
    ['a path of another repository', ['r.site/a'], 'r.site/b', []],
    ['a glob in one label', ['*.site', 'r*.site'], 'r1.site/a', ['r*.site', '*.site']],
    ['a glob, which spans no dot', ['*.site', '*'], 'a.b.site/c', []],
    ['a glob in the path, which is none', ['r.site/*'], 'r.site/a', []],
    ['a glob with characters of expressions', ['r+(.s*'], 'r+(.site/a', ['r+(.s*']],
    [
      'Docker Hub by the name of docker login',
      ['https://index.docker.io/v1/'],
      'docker.io/library/b',
      ['https://index.docker.io/v1/'],
    ],
    ['Docker Hub by its own name first', ['index.docker.io', 'docker.io'], 'docker.io/library/b', ['docker.io']],
    ['no Docker Hub for others', ['index.docker.io'], 'quay.io/a/b', []],
  ])('%s', (_what, locations, repository, found) => {
    const auths = Object.fromEntries(locations.map((location) => [location, login(location)]));
    expect(
      keyring(dockerConfigJson(auths))
        .lookup(repository)
        .map(({ username }) => username),
    ).toEqual(found);
  });

  it('come from both kinds of Secrets, with the login in either form', () => {
    const old: Secret = {
      type: 'kubernetes.io/dockercfg',
      data: { '.dockercfg': base64(JSON.stringify({ 'r.site': { auth: base64('old:pass:word') } })) },
    };
    const found = keyring(dockerConfigJson({ 'r.site': { ...login('lost'), auth: base64('new:p') } }), old).lookup(
      'r.site/a',
    );
    expect(found.map(({ username, password }) => [username, password.reveal()])).toEqual([
      ['new', 'p'],
      ['old', 'pass:word'],
    ]);
  });

  it('are left out with a reason when they make no sense, and never shown', () => {
    const logger = new RecordingLogger();
    const secrets: Secret[] = [
      { metadata: { name: 'opaque' }, type: 'Opaque', data: { k: base64('hush') } },
      { metadata: { name: 'no-json' }, data: { '.dockerconfigjson': base64('{"auths": hush') } },
      { metadata: { name: 'no-auths' }, data: { '.dockerconfigjson': base64('["hush"]') } },
      { ...dockerConfigJson({ 'r.site': { auth: base64('hush') }, 'good.site': login('hush') }, 'half') },
    ];
    const ring = RegistryKeyring.of(secrets, logger);
    expect(ring.lookup('r.site/a')).toEqual([]);
    expect(ring.lookup('good.site/a')).toHaveLength(1);
    expect(logger.lines.map(({ fields }) => fields?.secret)).toEqual(['opaque', 'no-json', 'no-auths', 'half']);
    expect(logger.text).not.toContain('hush');
    expect(inspect(ring.lookup('good.site/a'), { depth: 9 })).not.toContain('hush-password');
  });
});
