import { InterlinkError } from '../base/errors.ts';
import { parseAddress } from '../http/address.ts';
import { createHttpClient } from '../http/http-client.ts';
import { parseJson } from '../http/parse-json.ts';

/** Largest document of an issuer that is read. */
const MAX_BYTES = 1024 * 1024;
const TIMEOUT_MS = 10_000;

export interface FetchJsonOptions {
  /** Authorities in PEM instead of the system's. */
  readonly caFile?: string | undefined;
  readonly signal: AbortSignal;
}

/**
 * The JSON document at `url`. Redirects are not followed, at most 1 MiB is read.
 * @throws Unavailable or DeadlineExceeded, always: whatever is wrong with an issuer may be better later.
 */
export async function fetchJson(url: string, options: FetchJsonOptions): Promise<unknown> {
  const { protocol, host, pathname, search } = new URL(url);
  const address = parseAddress(`${protocol}//${host}`);
  await using client = createHttpClient({ address, tls: { caFile: options.caFile }, maxConnections: 1 });
  const answer = await client.request({
    method: 'GET',
    path: `${pathname}${search}`,
    headers: { accept: 'application/json' },
    headersTimeoutMs: TIMEOUT_MS,
    idleTimeoutMs: TIMEOUT_MS,
    signal: options.signal,
  });
  if (answer.status !== 200) {
    await answer.discard();
    throw new InterlinkError('Unavailable', `${url}: answered ${answer.status} instead of a document`, {
      code: 'oauth.fetch',
    });
  }
  const bytes = await answer.bytes(MAX_BYTES);
  try {
    return parseJson(bytes, url);
  } catch (error) {
    throw new InterlinkError('Unavailable', (error as Error).message, { code: 'oauth.fetch', cause: error });
  }
}
