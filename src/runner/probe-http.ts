import { type IncomingMessage, type RequestOptions, request as requestHttp } from 'node:http';
import { request as requestHttps } from 'node:https';
import { isIP } from 'node:net';
import { InterlinkError, messageOf, systemCodeOf } from '../base/errors.ts';
import type { Container, HTTPGetAction } from '../kube/types.ts';
import { containerPort } from './container-port.ts';
import { dialErrorText, hostPort, isDialError, systemErrorText } from './dial-error.ts';
import { failure, MAX_PROBE_OUTPUT_BYTES, PROBE_VERSION, type ProbeResult, SUCCESS } from './probe-result.ts';

/** A GET that a pod's specification asks for. */
export interface ProbeRequest {
  readonly url: URL;
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, readonly string[]>>;
}

/** What came back. */
export interface ProbeResponse {
  readonly status: number;
  /** At most 10 KiB. */
  readonly body: string;
}

/** `code` of the error when there is no answer. */
export const NO_ANSWER = 'probe.http';
/** `code` of the error when the server does not speak TLS. */
export const NO_TLS = 'probe.http.plain';

const MAX_REDIRECTS = 10;

/**
 * The request of an `httpGet` action, as a kubelet makes it.
 * @param purpose second word of the user agent, `kube-probe` or `kube-lifecycle`, unless the pod gives its own
 * @throws Invalid as {@link containerPort}
 */
export function probeRequest(
  action: HTTPGetAction,
  { container, podIP }: { readonly container: Container; readonly podIP: string },
  purpose: 'probe' | 'lifecycle',
): ProbeRequest {
  const scheme = (action.scheme ?? 'HTTP').toLowerCase();
  const port = containerPort(action.port, container);
  const path = (action.path ?? '/').replace(/^[a-z][a-z0-9+.-]*:\/\/[^/?#]*/i, '');
  const url = new URL(`${scheme}://${hostPort(action.host || podIP, port)}${path.startsWith('/') ? '' : '/'}${path}`);
  const headers: Record<string, string[]> = {};
  for (const { name, value } of action.httpHeaders ?? []) {
    headers[name.toLowerCase()] ??= [];
    headers[name.toLowerCase()]?.push(value);
  }
  headers['user-agent'] ??= [`kube-${purpose}/${PROBE_VERSION}`];
  headers.accept ??= ['*/*'];
  // Given but empty means none.
  if (headers.accept[0] === '') delete headers.accept;
  return { url, headers };
}

/**
 * Sends the request and follows redirects to the same host name; another redirect is the answer itself. Certificates are not verified, connections are not kept.
 *
 * @throws Unavailable in the words of a kubelet, with code {@link NO_ANSWER} or {@link NO_TLS}, also when `signal` aborts before the answer.
 */
export async function sendProbeRequest({ url, headers }: ProbeRequest, signal: AbortSignal): Promise<ProbeResponse> {
  let target = url;
  let host = headers.host;
  for (let redirects = 0; ; redirects += 1) {
    const response = await send(target, { ...headers, ...(host && { host }) }, signal);
    const { statusCode: status = 0 } = response;
    const location = [301, 302, 303, 307, 308].includes(status) ? response.headers.location : undefined;
    const next = location === undefined ? undefined : URL.parse(location, target.href);
    if (!next || next.hostname !== url.hostname || !/^https?:$/.test(next.protocol))
      return { status, body: await readBody(response, target, signal) };
    response.destroy();
    if (redirects + 1 >= MAX_REDIRECTS)
      throw new InterlinkError('Unavailable', `Get ${JSON.stringify(next.href)}: stopped after 10 redirects`, {
        code: NO_ANSWER,
      });
    // The given name is for the given place.
    if (/^([a-z][a-z0-9+.-]*:)?\/\//i.test(location ?? '')) host = undefined;
    target = next;
  }
}

/**
 * Whether the answer to a GET is good: 200–399, a redirect to somewhere else with a warning. No answer is a failure.
 * @throws Unavailable when the body breaks off: that says nothing about the container's health
 */
export async function probeHttp(request: ProbeRequest, signal: AbortSignal): Promise<ProbeResult> {
  let response: ProbeResponse;
  try {
    response = await sendProbeRequest(request, signal);
  } catch (error) {
    if (error instanceof InterlinkError && (error.code === NO_ANSWER || error.code === NO_TLS))
      return failure(error.message);
    throw error;
  }
  const { status, body } = response;
  if (status < 200 || status >= 400) return failure(`HTTP probe failed with statuscode: ${status}`);
  return status < 300 ? SUCCESS : { outcome: 'warning', output: `Probe terminated redirects, Response body: ${body}` };
}

function send(url: URL, headers: Record<string, readonly string[]>, signal: AbortSignal): Promise<IncomingMessage> {
  const host = url.hostname.replace(/^\[|\]$/g, '');
  const isSecure = url.protocol === 'https:';
  const port = Number(url.port) || (isSecure ? 443 : 80);
  const options: RequestOptions & { rejectUnauthorized: boolean; servername: string } = {
    host,
    port,
    path: `${url.pathname}${url.search}`,
    headers: headers as Record<string, string[]>,
    agent: false,
    signal,
    rejectUnauthorized: false,
    servername: isIP(host) ? '' : host,
  };
  return new Promise((resolve, reject) => {
    const request = (isSecure ? requestHttps : requestHttp)(options, resolve);
    request.on('error', (error) => reject(requestError(error, url, { host, port, signal })));
    request.end();
  });
}

function requestError(
  error: Error,
  url: URL,
  { host, port, signal }: { readonly host: string; readonly port: number; readonly signal: AbortSignal },
): InterlinkError {
  const code = systemCodeOf(error);
  // Node gives the reason of OpenSSL in the text only when it comes as EPROTO.
  const isPlain =
    /wrong version number|packet length too long/i.test(messageOf(error)) && /SSL|EPROTO/.test(code ?? '');
  const why = (): string => {
    if (signal.aborted) return 'context deadline exceeded (Client.Timeout exceeded while awaiting headers)';
    if (isPlain) return 'http: server gave HTTP response to HTTPS client';
    if (isDialError(error)) return dialErrorText(error, host, port);
    return messageOf(error) === 'socket hang up' ? 'EOF' : systemErrorText(error);
  };
  return new InterlinkError('Unavailable', `Get ${JSON.stringify(url.href)}: ${why()}`, {
    code: isPlain ? NO_TLS : NO_ANSWER,
    cause: error,
  });
}

async function readBody(response: IncomingMessage, url: URL, signal: AbortSignal): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  try {
    for await (const chunk of response as AsyncIterable<Buffer>) {
      chunks.push(chunk);
      bytes += chunk.length;
      if (bytes >= MAX_PROBE_OUTPUT_BYTES) break;
    }
  } catch (error) {
    const why = signal.aborted
      ? 'context deadline exceeded (Client.Timeout or context cancellation while reading body)'
      : 'unexpected EOF';
    throw new InterlinkError('Unavailable', why, { code: 'probe.body', cause: error, details: { url: url.href } });
  }
  return Buffer.concat(chunks).subarray(0, MAX_PROBE_OUTPUT_BYTES).toString();
}
