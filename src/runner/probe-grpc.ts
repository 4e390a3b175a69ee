import { type ClientHttp2Session, connect, constants, type IncomingHttpHeaders } from 'node:http2';
import { messageOf } from '../base/errors.ts';
import { dialErrorText, hostPort, isDialError } from './dial-error.ts';
import { failure, PROBE_VERSION, type ProbeResult, SUCCESS } from './probe-result.ts';

/** Names of the status codes that a message shows. @see https://grpc.github.io/grpc/core/md_doc_statuscodes.html */
const CODES = [
  'OK',
  'Canceled',
  'Unknown',
  'InvalidArgument',
  'DeadlineExceeded',
  'NotFound',
  'AlreadyExists',
  'PermissionDenied',
  'ResourceExhausted',
  'FailedPrecondition',
  'Aborted',
  'OutOfRange',
  'Unimplemented',
  'Internal',
  'Unavailable',
  'DataLoss',
  'Unauthenticated',
];
const OK = 0;
const UNKNOWN = 2;
const DEADLINE_EXCEEDED = 4;
const UNIMPLEMENTED = 12;

/** `grpc.health.v1.HealthCheckResponse.ServingStatus` by number. */
const STATES = ['UNKNOWN', 'SERVING', 'NOT_SERVING', 'SERVICE_UNKNOWN'];
const SERVING = 1;

const MAX_RESPONSE_BYTES = 4 * 1024 * 1024;

/** Whom to ask about what. */
export interface GrpcProbe {
  readonly host: string;
  readonly port: number;
  /** The empty string asks for the server as a whole. */
  readonly service: string;
  readonly timeoutSeconds: number;
}

/**
 * Asks the health service of a gRPC server, without TLS. Everything but SERVING is a failure, running out of time, which `signal` says, too.
 * @see https://github.com/grpc/grpc/blob/master/doc/health-checking.md
 */
export async function probeGrpc(probe: GrpcProbe, signal: AbortSignal): Promise<ProbeResult> {
  const { host, port, timeoutSeconds } = probe;
  const address = hostPort(host, port);
  const session = connect(`http://${address}`);
  // Each error also reaches those who wait below.
  session.on('error', () => {});
  try {
    await connected(session, signal);
  } catch (error) {
    session.destroy();
    return failure(
      signal.aborted
        ? `timeout: failed to connect service ${JSON.stringify(address)} within ${timeoutSeconds}s: context deadline exceeded`
        : `error: failed to connect service at ${JSON.stringify(address)}: connection error: desc = "transport: Error while dialing: ${
            isDialError(error) ? dialErrorText(error, host, port) : messageOf(error)
          }"`,
    );
  }
  try {
    return judge(await check(session, probe, signal), timeoutSeconds);
  } finally {
    session.destroy();
  }
}

interface Answer {
  readonly code: number;
  readonly message: string;
  readonly body: Buffer;
}

function judge({ code, message, body }: Answer, timeoutSeconds: number): ProbeResult {
  if (code === UNIMPLEMENTED)
    return failure(
      `error: this server does not implement the grpc health protocol (grpc.health.v1.Health): ${message}`,
    );
  if (code === DEADLINE_EXCEEDED) return failure(`timeout: health rpc did not complete within ${timeoutSeconds}s`);
  if (code !== OK)
    return failure(
      `error: health rpc probe failed: rpc error: code = ${CODES[code] ?? `Code(${code})`} desc = ${message}`,
    );
  const state = servingStatus(body);
  if (state === SERVING) return SUCCESS;
  return failure(`service unhealthy (responded with ${JSON.stringify(STATES[state] ?? String(state))})`);
}

async function connected(session: ClientHttp2Session, signal: AbortSignal): Promise<void> {
  signal.throwIfAborted();
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const abort = (): void => reject(signal.reason);
  signal.addEventListener('abort', abort, { once: true });
  // The server's first frame shows that it speaks HTTP/2.
  session.once('remoteSettings', () => resolve());
  session.once('error', reject);
  session.once('close', () => reject(new Error('error reading server preface: EOF')));
  try {
    await promise;
  } finally {
    signal.removeEventListener('abort', abort);
  }
}

function check(session: ClientHttp2Session, probe: GrpcProbe, signal: AbortSignal): Promise<Answer> {
  const { HTTP2_HEADER_METHOD, HTTP2_HEADER_PATH, HTTP2_HEADER_STATUS, NGHTTP2_CANCEL } = constants;
  return new Promise((resolve) => {
    const stream = session.request({
      [HTTP2_HEADER_METHOD]: 'POST',
      [HTTP2_HEADER_PATH]: '/grpc.health.v1.Health/Check',
      'content-type': 'application/grpc',
      te: 'trailers',
      'user-agent': `kube-probe/${PROBE_VERSION}`,
      'grpc-timeout': `${probe.timeoutSeconds}S`,
    });
    const chunks: Buffer[] = [];
    let bytes = 0;
    let status: IncomingHttpHeaders = {};
    const end = (code: number, message: string): void => {
      signal.removeEventListener('abort', abort);
      stream.close(NGHTTP2_CANCEL);
      resolve({ code, message, body: Buffer.concat(chunks) });
    };
    const abort = (): void => end(DEADLINE_EXCEEDED, 'context deadline exceeded');
    signal.addEventListener('abort', abort, { once: true });
    stream.once('response', (headers) => {
      const http = headers[HTTP2_HEADER_STATUS];
      if (String(http) !== '200') end(UNKNOWN, `unexpected HTTP status code received from server: ${http}`);
      // Without a message the status comes at once.
      status = headers;
    });
    stream.once('trailers', (trailers) => {
      status = trailers;
    });
    stream.on('data', (chunk: Buffer) => {
      bytes += chunk.length;
      if (bytes > MAX_RESPONSE_BYTES) end(UNKNOWN, 'received message larger than max');
      else chunks.push(chunk);
    });
    stream.once('end', () => {
      const code = status['grpc-status'];
      if (code === undefined) end(UNKNOWN, 'server closed the stream without sending trailers');
      else end(Number(code), decode(String(status['grpc-message'] ?? '')));
    });
    stream.once('error', (error) => end(UNKNOWN, messageOf(error)));
    stream.once('close', () => end(UNKNOWN, 'error reading from server: EOF'));
    stream.end(request(probe.service));
  });
}

/** A message without compression: `HealthCheckRequest{service}`. */
function request(service: string): Buffer {
  const name = Buffer.from(service);
  const message = name.length === 0 ? Buffer.alloc(0) : Buffer.concat([Buffer.of(0x0a), varint(name.length), name]);
  const prefix = Buffer.alloc(5);
  prefix.writeUInt32BE(message.length, 1);
  return Buffer.concat([prefix, message]);
}

function varint(value: number): Buffer {
  const bytes: number[] = [];
  let rest = value;
  for (; rest > 0x7f; rest >>>= 7) bytes.push((rest & 0x7f) | 0x80);
  return Buffer.from([...bytes, rest]);
}

/** Field 1 of `HealthCheckResponse`, the only one that it has; absent means 0. */
function servingStatus(body: Buffer): number {
  const [, , , , , tag, status = 0] = body;
  return tag === 0x08 ? status : 0;
}

/** Percent-encoding as gRPC has it; a broken one is shown as it is. */
function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
