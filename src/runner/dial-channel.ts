import type { ClientRequest } from 'node:http';
import { connect as connectUnix } from 'node:net';
import type { TLSSocket } from 'node:tls';
import type { ClientOptions, WebSocket } from 'ws';
import { InterlinkError } from '../base/errors.ts';
import type { ChannelSettings } from '../contract/job-directory.ts';

const HANDSHAKE_TIMEOUT_MS = 10_000;
const MAX_MESSAGE_BYTES = 1024 * 1024;

/**
 * Opens a WebSocket to `path` at `endpoint` with the job's token. Over TLS nothing is sent, the token least of all, before the certificate has the pinned
 * fingerprint; no authority is asked. The socket is paused: whoever has added its listeners resumes it.
 *
 * @throws Unavailable when nobody answers or the certificate is another one; `signal.reason` on abort
 */
export async function dialChannel(
  settings: ChannelSettings,
  endpoint: string,
  path: string,
  signal: AbortSignal,
): Promise<WebSocket> {
  signal.throwIfAborted();
  // Loaded here so that a job without a channel does not pay for it.
  const { WebSocket } = await import('ws');
  const options: ClientOptions = {
    headers: { authorization: `Bearer ${settings.token}` },
    handshakeTimeout: HANDSHAKE_TIMEOUT_MS,
    maxPayload: MAX_MESSAGE_BYTES,
    perMessageDeflate: false,
    followRedirects: false,
  };
  let socket: WebSocket;
  if (endpoint.startsWith('unix:')) {
    const file = endpoint.slice('unix:'.length).replace(/^\/\/(?=\/)/, '');
    socket = new WebSocket(`ws://localhost${path}`, { ...options, createConnection: () => connectUnix(file) });
  } else if (endpoint.startsWith('wss://') && settings.fingerprint !== undefined) {
    const expected = settings.fingerprint.replaceAll(':', '').toLowerCase();
    socket = new WebSocket(`${endpoint.replace(/\/+$/, '')}${path}`, {
      ...options,
      rejectUnauthorized: false,
      finishRequest: (request: ClientRequest) => sendWhenPinned(request, expected, endpoint),
    });
  } else {
    throw new InterlinkError(
      'Invalid',
      `channel endpoint ${endpoint} must be unix:/path, or wss://host:port with a fingerprint`,
    );
  }
  return await opened(socket, endpoint, signal);
}

function sendWhenPinned(request: ClientRequest, expected: string, endpoint: string): void {
  request.once('socket', (socket) => {
    const tls = socket as TLSSocket;
    tls.once('secureConnect', () => {
      const actual = tls.getPeerX509Certificate()?.fingerprint256.replaceAll(':', '').toLowerCase();
      if (actual === expected) request.end();
      else
        request.destroy(
          new InterlinkError('Unavailable', `${endpoint} shows another certificate than the pinned one`, {
            code: 'channel.fingerprint',
            details: { actual },
          }),
        );
    });
  });
}

async function opened(socket: WebSocket, endpoint: string, signal: AbortSignal): Promise<WebSocket> {
  let onAbort = (): void => {};
  try {
    await new Promise<void>((resolve, reject) => {
      onAbort = () => reject(signal.reason);
      signal.addEventListener('abort', onAbort, { once: true });
      socket.once('open', () => {
        // The first message may be in the packet that opened the socket, before the caller listens.
        socket.pause();
        resolve();
      });
      socket.once('error', (cause) =>
        reject(new InterlinkError('Unavailable', `channel ${endpoint} cannot be opened: ${cause.message}`, { cause })),
      );
    });
    return socket;
  } catch (error) {
    // Later errors of a socket that is given up (its own abort among them) are of no interest.
    socket.on('error', () => {});
    socket.terminate();
    throw error;
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}
