import { connect } from 'node:net';
import { dialErrorText, hostPort } from './dial-error.ts';
import { failure, type ProbeResult, SUCCESS } from './probe-result.ts';

/** Whether a connection can be opened; nothing is sent. Running out of time, which `signal` says, is a failure too. */
export function probeTcp(host: string, port: number, signal: AbortSignal): Promise<ProbeResult> {
  return new Promise((resolve) => {
    const socket = connect({ host, port });
    const end = (result: ProbeResult): void => {
      signal.removeEventListener('abort', abort);
      socket.destroy();
      resolve(result);
    };
    const abort = (): void => end(failure(`dial tcp ${hostPort(host, port)}: i/o timeout`));
    signal.addEventListener('abort', abort, { once: true });
    socket.once('connect', () => end(SUCCESS));
    socket.on('error', (error) => end(failure(dialErrorText(error, host, port))));
    if (signal.aborted) abort();
  });
}
