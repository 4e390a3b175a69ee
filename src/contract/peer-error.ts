import { ERROR_KINDS, type ErrorKind, InterlinkError } from '../base/errors.ts';
import { isJsonObject } from './wire-keys.ts';

/** Statuses without a kind of their own. Other 4xx are `Invalid`, other 5xx `Unavailable`. */
const KIND_OF_STATUS: Readonly<Record<number, ErrorKind>> = {
  405: 'Unsupported',
  408: 'DeadlineExceeded',
  410: 'NotFound',
  500: 'Unavailable',
};

/** Kinds that end a pod. A page of HTML or an empty body does not come from a sidecar, so it must not mean one of these. */
const FINAL: ReadonlySet<ErrorKind> = new Set(['Invalid', 'TooLarge', 'Conflict']);

const MAX_QUOTE = 300;

/** What the existing API server writes around the text of a plugin. */
const LEGACY_FRAME = /^HTTP InterLink session .*?:\s+call exit status: \d+\. Body: /s;

/** An answer other than 2xx, as far as it tells something. */
export interface PeerAnswer {
  /** The peer and the call, e.g. `https://site:443: create`. */
  readonly what: string;
  readonly status: number;
  readonly contentType: string;
  readonly authenticate: string;
  /** The first bytes of the body. */
  readonly body: string;
}

/**
 * The error that an answer other than 2xx means. One of our own errors keeps its kind, code and words; from others the words are quoted after the peer's name.
 * A 5xx is always retriable, and so is a 404 for a whole call: then it is not a sidecar that answered.
 */
export function peerError(answer: PeerAnswer): InterlinkError {
  const { what, status, authenticate } = answer;
  const ours = ownError(answer.body);
  if (ours) return ours;
  const said = quote(answer.body, answer.contentType);
  if (status >= 300 && status < 400)
    return failure('Unavailable', `${what} was redirected (${status}), which is not followed; check the address`);
  if (status === 401)
    return failure(
      'Unauthenticated',
      `${what}: the token is not accepted (401); check the token file and the audience${detailOf(authenticate)}`,
    );
  if (status === 403)
    return failure('Forbidden', `${what}: the token does not give access (403)${detailOf(authenticate) || said}`);
  const kind = kindOfStatus(status);
  if (FINAL.has(kind) && (said === '' || isHtml(answer.body, answer.contentType)))
    return failure('Unavailable', `${what} answered ${status}${said}; is something else between here and the sidecar?`);
  return failure(kind, `${what} answered ${status}${said}`);
}

/** The kind that a bare HTTP status means. */
export function kindOfStatus(status: number): ErrorKind {
  const special = KIND_OF_STATUS[status];
  if (special !== undefined) return special;
  for (const [kind, facts] of Object.entries(ERROR_KINDS)) if (facts.httpStatus === status) return kind as ErrorKind;
  return status >= 500 ? 'Unavailable' : 'Invalid';
}

/** `: "…"` with the beginning of a text, made printable; a page of HTML is reduced to its words. */
export function quote(body: string, contentType = ''): string {
  const html = isHtml(body, contentType);
  const text = unescapeHtml(html ? body.replace(/<[^>]*>/g, ' ') : body.replace(LEGACY_FRAME, ''))
    .replace(/\p{C}+|\s+/gu, ' ')
    .trim();
  if (text === '') return html ? ': a page of HTML' : '';
  return `: ${text.length > MAX_QUOTE ? `${text.slice(0, MAX_QUOTE)}…` : text}`;
}

function isHtml(body: string, contentType: string): boolean {
  return /html/i.test(contentType) || /^\s*<(!doctype|html)/i.test(body);
}

function ownError(body: string): InterlinkError | undefined {
  if (!body.startsWith('{')) return undefined;
  let value: unknown;
  try {
    value = JSON.parse(body);
  } catch {
    return undefined;
  }
  const error = isJsonObject(value) && isJsonObject(value.error) ? value.error : {};
  const { kind, code, message } = error;
  if (typeof kind !== 'string' || !Object.hasOwn(ERROR_KINDS, kind) || typeof message !== 'string') return undefined;
  return failure(kind as ErrorKind, message, typeof code === 'string' ? code : undefined);
}

function detailOf(authenticate: string): string {
  const description = /error_description="([^"]*)"/.exec(authenticate)?.[1];
  return description === undefined ? '' : `: ${description}`;
}

function failure(kind: ErrorKind, message: string, code = 'peer.refused'): InterlinkError {
  return new InterlinkError(kind, message, { code });
}

function unescapeHtml(text: string): string {
  const entities: Readonly<Record<string, string>> = {
    '&lt;': '<',
    '&gt;': '>',
    '&#34;': '"',
    '&quot;': '"',
    '&#39;': "'",
    '&amp;': '&',
  };
  return text.replace(/&(lt|gt|#34|quot|#39|amp);/g, (entity) => entities[entity] ?? entity);
}
