import { codeOf, ERROR_KINDS, type InterlinkError, kindOf, publicMessageOf } from '../base/errors.ts';
import type { HttpRequest, HttpResponse } from './handler.ts';
import { jsonResponse } from './json-response.ts';
import { textResponse } from './text-response.ts';

/** Body of an error answer for a caller that accepts JSON. */
export interface ErrorBody {
  readonly error: { readonly kind: string; readonly code: string; readonly message: string };
}

/** Statuses that no kind has; they refine `Invalid`. */
const STATUS_OF_CODE: Readonly<Record<string, number>> = {
  'http.content-encoding': 415,
  'http.method': 405,
};

/**
 * The answer for an error: status by its kind; the body is {@link ErrorBody} for a caller whose `Accept` names `application/json`, else the one
 * sentence, because existing nodes copy the body into the pod's message. Text of foreign errors never leaves the process.
 */
export function errorResponse(error: unknown, request: HttpRequest): HttpResponse {
  const kind = kindOf(error);
  const code = codeOf(error);
  const status = STATUS_OF_CODE[code] ?? ERROR_KINDS[kind].httpStatus;
  const message = publicMessageOf(error);
  const retryAfter = code === 'internal' ? undefined : (error as InterlinkError).details.retryAfterSeconds;
  const headers = typeof retryAfter === 'number' ? { 'retry-after': String(Math.ceil(retryAfter)) } : {};
  if (!/\bapplication\/json\b/i.test(request.headers.accept ?? '')) return textResponse(message, { status, headers });
  return jsonResponse({ error: { kind, code, message } } satisfies ErrorBody, { status, headers });
}
