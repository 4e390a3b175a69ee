import type { HttpResponse } from './handler.ts';

/** Whether the body of an answer is sent as it comes rather than whole. */
export function isStreamBody(body: HttpResponse['body']): body is AsyncIterable<Uint8Array> {
  return typeof body === 'object' && Symbol.asyncIterator in body;
}
