import type { Logger } from '../base/logger.ts';
import { Secret } from '../base/secret.ts';
import type { Secret as KubernetesSecret } from '../kube/types.ts';

/** What may be shown to a registry. */
export interface RegistryCredential {
  readonly username: string;
  readonly password: Secret;
}

/** Docker Hub's name in the files of `docker login`. */
const DEFAULT_REGISTRY = 'index.docker.io';
/** What {@link DEFAULT_REGISTRY} is called in image names. */
const HUB_NAMES = ['docker.io', DEFAULT_REGISTRY];

/** `host[:port][/path]` of a file of `docker login`; labels of the host may be globs. */
interface KeyPattern {
  readonly host: string;
  readonly path: string;
}

/**
 * The registry credentials of a pod, found by the rules of a kubelet: host and port are the same (`*` within a label of the host), the path is the
 * beginning of the repository's; the longest paths first, several in turn; Docker Hub's own entry counts when no other does.
 *
 * @see https://github.com/kubernetes/kubernetes/blob/v1.36.3/pkg/credentialprovider/keyring.go
 */
export class RegistryKeyring {
  /** By pattern, in the order in which they are tried. */
  readonly #credentials: ReadonlyMap<string, readonly RegistryCredential[]>;

  private constructor(credentials: ReadonlyMap<string, readonly RegistryCredential[]>) {
    this.#credentials = credentials;
  }

  /** Takes what `kubernetes.io/dockerconfigjson` and `kubernetes.io/dockercfg` Secrets hold; one that makes no sense is told and left out. */
  static of(secrets: readonly KubernetesSecret[], logger: Logger): RegistryKeyring {
    const found = new Map<string, RegistryCredential[]>();
    for (const secret of secrets)
      for (const [location, credential] of entriesOf(secret, logger)) {
        const key = keyOf(location);
        if (key !== undefined) found.set(key, [...(found.get(key) ?? []), credential]);
      }
    return new RegistryKeyring(new Map([...found].toSorted(([a], [b]) => (a < b ? 1 : a > b ? -1 : 0))));
  }

  /** What to try for a repository, e.g. `docker.io/library/busybox`, best first; empty when only an anonymous pull is left. */
  lookup(repository: string): readonly RegistryCredential[] {
    const target = patternOf(repository);
    const matching = [...this.#credentials].filter(([key]) => matches(patternOf(key), target));
    if (matching.length > 0) return matching.flatMap(([, credentials]) => credentials);
    return HUB_NAMES.includes(target.host) ? (this.#credentials.get(DEFAULT_REGISTRY) ?? []) : [];
  }
}

function entriesOf(
  { metadata, type, data = {} }: KubernetesSecret,
  logger: Logger,
): readonly (readonly [string, RegistryCredential])[] {
  const leaveOut = (why: string): readonly [] => {
    logger.warn('an image pull secret is left out', { secret: metadata?.name, why });
    return [];
  };
  const [file, content] =
    data['.dockerconfigjson'] !== undefined
      ? (['.dockerconfigjson', data['.dockerconfigjson']] as const)
      : (['.dockercfg', data['.dockercfg']] as const);
  if (content === undefined) return leaveOut(`type ${type} without .dockerconfigjson and .dockercfg`);
  let value: unknown;
  try {
    value = JSON.parse(Buffer.from(content, 'base64').toString('utf8'));
  } catch {
    // The parser's words would quote the secret.
    return leaveOut(`${file} is no JSON`);
  }
  const auths = file === '.dockercfg' ? value : isObject(value) ? value.auths : undefined;
  if (!isObject(auths)) return leaveOut(`${file} has no logins`);
  return Object.entries(auths).flatMap(([location, entry]) => {
    const credential = credentialOf(entry);
    return credential
      ? [[location, credential] as const]
      : leaveOut(`${file}: ${location} has neither auth nor username`);
  });
}

/** `auth` (base64 of `user:password`) wins over `username` and `password`. */
function credentialOf(entry: unknown): RegistryCredential | undefined {
  if (!isObject(entry)) return undefined;
  if (typeof entry.auth === 'string' && entry.auth !== '') {
    const text = Buffer.from(entry.auth, 'base64').toString('utf8');
    const colon = text.indexOf(':');
    return colon < 0
      ? undefined
      : { username: text.slice(0, colon), password: new Secret(text.slice(colon + 1).replace(/\0+$/, '')) };
  }
  const { username, password } = entry;
  return typeof username === 'string' && typeof password === 'string' && username !== ''
    ? { username, password: new Secret(password) }
    : undefined;
}

/** `https://host/v1/` and the like become `host`, which files of `docker login` write in many ways. */
function keyOf(location: string): string | undefined {
  const [, host = '', path = ''] = /^(?:https?:\/\/)?([^/?#]+)([^?#]*)/.exec(location) ?? [];
  if (host === '') return undefined;
  const effective = /^\/v[12]\//.test(path) ? path.slice(3) : path;
  return effective === '/' ? host : `${host}${effective}`;
}

function patternOf(key: string): KeyPattern {
  const slash = key.indexOf('/');
  return slash < 0 ? { host: key, path: '' } : { host: key.slice(0, slash), path: key.slice(slash) };
}

function matches(pattern: KeyPattern, target: KeyPattern): boolean {
  const [name = '', port = ''] = splitPort(pattern.host);
  const [targetName = '', targetPort = ''] = splitPort(target.host);
  const labels = name.split('.');
  const targetLabels = targetName.split('.');
  return (
    port === targetPort &&
    labels.length === targetLabels.length &&
    target.path.startsWith(pattern.path) &&
    labels.every((label, index) => matchesLabel(label, targetLabels[index] ?? ''))
  );
}

function splitPort(host: string): readonly string[] {
  return /^(.*?)(?::(\d+))?$/.exec(host)?.slice(1) ?? [];
}

function matchesLabel(glob: string, text: string): boolean {
  const literals = glob.split('*').map((literal) => literal.replace(/[\\^$.|?+()[\]{}]/g, '\\$&'));
  return new RegExp(`^${literals.join('.*')}$`).test(text);
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
