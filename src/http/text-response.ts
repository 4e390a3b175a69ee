import type { HttpResponse } from './handler.ts';

/** An answer that holds plain text; 200 unless `status` is given. */
export function textResponse(
  text: string,
  options: { readonly status?: number; readonly headers?: Readonly<Record<string, string>> } = {},
): HttpResponse {
  return {
    status: options.status ?? 200,
    headers: { 'content-type': 'text/plain; charset=utf-8', ...options.headers },
    body: text,
  };
}
