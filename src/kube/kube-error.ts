import { type ErrorKind, InterlinkError } from '../base/errors.ts';

/** What a `Status` object of the API server may hold; everything is optional as proxies in between answer in their own words. */
interface StatusBody {
  readonly kind?: unknown;
  readonly message?: unknown;
  readonly reason?: unknown;
  readonly code?: unknown;
  readonly details?: { readonly retryAfterSeconds?: unknown };
}

const KIND_BY_STATUS: Readonly<Record<number, ErrorKind>> = {
  400: 'Invalid',
  401: 'Unauthenticated',
  403: 'Forbidden',
  404: 'NotFound',
  405: 'Unsupported',
  406: 'Unsupported',
  409: 'Conflict',
  410: 'Conflict',
  413: 'TooLarge',
  415: 'Unsupported',
  422: 'Invalid',
  429: 'TooManyRequests',
  504: 'DeadlineExceeded',
};

/** Characters of an answer that is no Status which go into the message. */
const QUOTED = 200;

/**
 * The error of an answer that is not a success. `request` is method and path; `body` the answer as text or already parsed (the object of an ERROR
 * event). `details`: `httpStatus`, `reason`, `statusMessage`, and `retryAfterMs` where the server named a time.
 *
 * @see https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/status/
 */
export function kubeError(
  request: string,
  httpStatus: number,
  body: unknown,
  retryAfter: string | undefined,
): InterlinkError {
  const status = typeof body === 'string' ? parseStatus(body) : (body as StatusBody);
  const reason = typeof status.reason === 'string' ? status.reason : undefined;
  const kind = KIND_BY_STATUS[httpStatus] ?? (httpStatus >= 500 ? 'Unavailable' : 'Invalid');
  const statusMessage =
    typeof status.message === 'string' && status.message !== ''
      ? status.message
      : `the server answered ${JSON.stringify(typeof body === 'string' ? body.slice(0, QUOTED) : '')}`;
  const retryAfterMs = retryAfterOf(status, retryAfter);
  return new InterlinkError(kind, `${request}: ${statusMessage} (HTTP ${httpStatus})`, {
    code: codeOf(httpStatus, reason, kind),
    details: {
      httpStatus,
      statusMessage,
      ...(reason === undefined ? {} : { reason }),
      ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
    },
  });
}

function codeOf(httpStatus: number, reason: string | undefined, kind: ErrorKind): string {
  if (httpStatus === 410) return 'kube.gone';
  if (httpStatus === 409) return reason === 'AlreadyExists' ? 'kube.already-exists' : 'kube.conflict';
  return `kube.${kind.toLowerCase()}`;
}

function retryAfterOf(status: StatusBody, header: string | undefined): number | undefined {
  const inBody = status.details?.retryAfterSeconds;
  const seconds = header !== undefined && /^\d+$/.test(header) ? Number(header) : inBody;
  return typeof seconds === 'number' && seconds > 0 ? seconds * 1000 : undefined;
}

function parseStatus(body: string): StatusBody {
  try {
    const value: unknown = JSON.parse(body);
    return typeof value === 'object' && value !== null && (value as StatusBody).kind === 'Status'
      ? (value as StatusBody)
      : {};
  } catch {
    // Not the API server's own words (a proxy, a load balancer): the caller quotes them.
    return {};
  }
}
