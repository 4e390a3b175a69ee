/**
 * The closed set of error kinds. The kind alone decides the HTTP status, the Kubernetes `Status.reason`, the exit code and
 * whether a retry makes sense; `code` names the exact fault.
 */
export type ErrorKind =
  | 'Invalid'
  | 'Unauthenticated'
  | 'Forbidden'
  | 'NotFound'
  | 'Conflict'
  | 'TooLarge'
  | 'Unsupported'
  | 'TooManyRequests'
  | 'Unavailable'
  | 'DeadlineExceeded'
  | 'Internal';

interface KindFacts {
  /** HTTP status of a response that carries the error. */
  readonly httpStatus: number;
  /** `reason` of a Kubernetes `Status` object. @see https://kubernetes.io/docs/reference/using-api/api-concepts */
  readonly statusReason: string;
  /** Whether the same request may succeed later without anybody changing it. */
  readonly retriable: boolean;
}

/** One row per kind; every edge (HTTP server, kubelet API, CLI) reads it and nothing else. */
export const ERROR_KINDS: Readonly<Record<ErrorKind, KindFacts>> = {
  Invalid: { httpStatus: 400, statusReason: 'BadRequest', retriable: false },
  Unauthenticated: { httpStatus: 401, statusReason: 'Unauthorized', retriable: false },
  Forbidden: { httpStatus: 403, statusReason: 'Forbidden', retriable: false },
  NotFound: { httpStatus: 404, statusReason: 'NotFound', retriable: false },
  Conflict: { httpStatus: 409, statusReason: 'Conflict', retriable: false },
  TooLarge: { httpStatus: 413, statusReason: 'RequestEntityTooLarge', retriable: false },
  Unsupported: { httpStatus: 501, statusReason: 'NotImplemented', retriable: false },
  TooManyRequests: { httpStatus: 429, statusReason: 'TooManyRequests', retriable: true },
  Unavailable: { httpStatus: 503, statusReason: 'ServiceUnavailable', retriable: true },
  DeadlineExceeded: { httpStatus: 504, statusReason: 'Timeout', retriable: true },
  Internal: { httpStatus: 500, statusReason: 'InternalError', retriable: true },
};

/** What an error carries beside its kind and message. */
export interface InterlinkErrorOptions {
  /** Stable dotted literal, e.g. `slurm.submit.rejected`; owned by the file that throws it. */
  readonly code?: string;
  /** The error that led to this one; never shown to a remote caller. */
  readonly cause?: unknown;
  /** Evidence for the log, free of secrets. */
  readonly details?: Readonly<Record<string, unknown>>;
}

/**
 * The one error class. `message` is one sentence that names the thing, the reason and the next step, and holds no secret;
 * evidence goes to `details` and `cause`. Match with {@link isKind}, never with `instanceof`.
 */
export class InterlinkError extends Error {
  override readonly name = 'InterlinkError';
  readonly kind: ErrorKind;
  readonly code: string;
  readonly details: Readonly<Record<string, unknown>>;

  constructor(kind: ErrorKind, message: string, options: InterlinkErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.kind = kind;
    this.code = options.code ?? kind.toLowerCase();
    this.details = options.details ?? {};
  }
}

/** Whether `error` is an {@link InterlinkError} of one of `kinds`; survives duplicated bundles. */
export function isKind(error: unknown, ...kinds: readonly ErrorKind[]): error is InterlinkError {
  return (
    error instanceof Error && error.name === 'InterlinkError' && kinds.includes((error as InterlinkError).kind ?? '')
  );
}

/** The kind of any thrown value; what is not ours is `Internal`. */
export function kindOf(error: unknown): ErrorKind {
  return error instanceof Error && error.name === 'InterlinkError' ? (error as InterlinkError).kind : 'Internal';
}

/** The `code` of one of our errors; `internal` for any other thrown value. */
export function codeOf(error: unknown): string {
  return error instanceof Error && error.name === 'InterlinkError' ? (error as InterlinkError).code : 'internal';
}

/** Whether a retry of the same request may help; unknown errors count as retriable, as losing work is worse. */
export function isRetriable(error: unknown): boolean {
  return ERROR_KINDS[kindOf(error)].retriable;
}

/** The message of any thrown value, for a log line or for the owner of the process; never for a remote caller. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** The text a remote caller may see: the message of our own errors, a constant for everything else. */
export function publicMessageOf(error: unknown): string {
  return error instanceof Error && error.name === 'InterlinkError' && (error as InterlinkError).kind !== 'Internal'
    ? error.message
    : 'internal error; the log of the server has the details';
}

/** Node's `code` of a system error (`ENOENT`, `ECONNREFUSED`), or undefined. */
export function systemCodeOf(error: unknown): string | undefined {
  const code = error instanceof Error ? (error as NodeJS.ErrnoException).code : undefined;
  return typeof code === 'string' ? code : undefined;
}
