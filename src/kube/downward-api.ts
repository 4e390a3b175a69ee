import { InterlinkError } from '../base/errors.ts';
import type { Pod } from './types.ts';

/** What a field of a pod may be besides its own metadata and spec. */
export interface FieldFacts {
  /** Addresses of the node, the first one first. */
  readonly hostIPs: readonly string[];
  /** When the node took up the pod, RFC 3339; shows in the file of all annotations. */
  readonly seenAt: string;
  /** Annotations that the node writes itself: they can be asked for by name, but the file of all annotations has those that the user knows of. */
  readonly unlistedAnnotations?: ReadonlySet<string>;
}

/** What {@link metadataFieldText} needs of {@link FieldFacts}. */
export type MetadataFacts = Pick<FieldFacts, 'seenAt' | 'unlistedAnnotations'>;

const QUALIFIED_NAME =
  /^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*\/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$/;

/**
 * The text of a field as a `downwardAPI` volume shows it: `metadata.name`, `.namespace`, `.uid`, all labels or annotations
 * (`key="value"` lines, sorted, quoted as in Go) or one of them (`metadata.labels['key']`, empty when missing).
 *
 * @throws Invalid for another path
 * @see https://github.com/kubernetes/kubernetes/blob/v1.36.3/pkg/fieldpath/fieldpath.go
 */
export function metadataFieldText(pod: Pod, path: string, facts: MetadataFacts): string {
  const metadata = pod.metadata ?? {};
  // A kubelet marks the pods that it has taken up; its files show the marks.
  const annotations = (): Record<string, string> => ({
    ...metadata.annotations,
    'kubernetes.io/config.seen': facts.seenAt,
    'kubernetes.io/config.source': 'api',
  });
  const subscript = /^([^[]+)\['(.*)'\]$/s.exec(path);
  if (subscript) {
    const [, map, key = ''] = subscript;
    if (map !== 'metadata.annotations' && map !== 'metadata.labels')
      throw new InterlinkError('Invalid', `fieldPath ${JSON.stringify(path)} does not support subscript`);
    if (!QUALIFIED_NAME.test(map === 'metadata.annotations' ? key.toLowerCase() : key))
      throw new InterlinkError('Invalid', `invalid key subscript in ${path}: not a qualified name`);
    const entries = map === 'metadata.annotations' ? annotations() : (metadata.labels ?? {});
    return Object.hasOwn(entries, key) ? (entries[key] ?? '') : '';
  }
  switch (path) {
    case 'metadata.annotations':
      return mapText(withoutKeys(annotations(), facts.unlistedAnnotations));
    case 'metadata.labels':
      return mapText(metadata.labels ?? {});
    case 'metadata.name':
      return metadata.name ?? '';
    case 'metadata.namespace':
      return metadata.namespace ?? '';
    case 'metadata.uid':
      return metadata.uid ?? '';
    default:
      throw new InterlinkError('Invalid', `unsupported fieldPath: ${path}`);
  }
}

/**
 * The text of a field as an environment variable gets it, or undefined for `status.podIP` and `status.podIPs`, which only the machine that runs
 * the pod knows.
 *
 * @throws Invalid for another path
 */
export function environmentFieldText(pod: Pod, path: string, facts: FieldFacts): string | undefined {
  switch (path) {
    case 'status.podIP':
    case 'status.podIPs':
      return undefined;
    case 'spec.nodeName':
      return pod.spec?.nodeName ?? '';
    case 'spec.serviceAccountName':
      return pod.spec?.serviceAccountName ?? '';
    case 'status.hostIP':
      return facts.hostIPs[0] ?? '';
    case 'status.hostIPs':
      return facts.hostIPs.join(',');
    default:
      return metadataFieldText(pod, path, facts);
  }
}

function withoutKeys(map: Readonly<Record<string, string>>, keys: ReadonlySet<string> = new Set()) {
  return Object.fromEntries(Object.entries(map).filter(([key]) => !keys.has(key)));
}

function mapText(map: Readonly<Record<string, string>>): string {
  return Object.keys(map)
    .sort()
    .map((key) => `${key}=${goQuote(map[key] ?? '')}`)
    .join('\n');
}

const ESCAPES: Readonly<Record<string, string>> = {
  '\u0007': '\\a',
  '\b': '\\b',
  '\f': '\\f',
  '\n': '\\n',
  '\r': '\\r',
  '\t': '\\t',
  '\v': '\\v',
  '"': '\\"',
  '\\': '\\\\',
};

/** @see https://pkg.go.dev/strconv#Quote */
function goQuote(text: string): string {
  let result = '"';
  for (const character of text.toWellFormed()) {
    const code = character.codePointAt(0) ?? 0;
    const escaped = ESCAPES[character];
    if (escaped !== undefined) result += escaped;
    else if (/^[\p{L}\p{M}\p{N}\p{P}\p{S} ]$/u.test(character)) result += character;
    else if (code < 0x20 || code === 0x7f) result += `\\x${code.toString(16).padStart(2, '0')}`;
    else if (code < 0x10000) result += `\\u${code.toString(16).padStart(4, '0')}`;
    else result += `\\U${code.toString(16).padStart(8, '0')}`;
  }
  return `${result}"`;
}
