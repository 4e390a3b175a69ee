import type { Clock } from '../base/clock.ts';
import type { Logger } from '../base/logger.ts';
import type { HttpHandler } from '../http/handler.ts';
import { createHttpServer, type HttpServer } from '../http/http-server.ts';
import type { TlsSource } from '../http/tls-source.ts';
import type { ClientAuthority } from './client-authority.ts';
import { renderKubeletError } from './kubelet-api.ts';

export interface KubeletServerDeps {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly certificate: TlsSource;
  /** Resolves when `certificate` has something to load. */
  readonly certificateReady: Promise<void>;
  readonly authority: ClientAuthority;
  readonly handler: HttpHandler;
}

/**
 * The kubelet port. It opens only when there is a certificate and the authorities of clients are known; `ready` resolves then. New ones are taken
 * over without a break.
 */
export function createKubeletServer(
  deps: KubeletServerDeps,
  options: { readonly address: string; readonly port: number },
): HttpServer {
  const { clock, logger, certificate, certificateReady, authority, handler } = deps;
  const server = createHttpServer(
    {
      name: 'kubelet API',
      address: { kind: 'tcp', tls: true, host: options.address, port: options.port },
      tls: {
        load: async () => ({ ...(await certificate.load()), clientCa: authority.pem }),
        async changed(signal) {
          const done = new AbortController();
          const either = AbortSignal.any([signal, done.signal]);
          try {
            await Promise.race([certificate.changed(either), authority.changed]);
          } finally {
            done.abort();
          }
        },
      },
      requestClientCertificate: true,
      handler,
      renderError: renderKubeletError,
    },
    { clock, logger },
  );
  return {
    name: server.name,
    ready: server.ready,
    get address() {
      return server.address;
    },
    async run(signal) {
      const aborted = Promise.withResolvers<void>();
      signal.addEventListener('abort', () => aborted.resolve(), { once: true });
      await Promise.race([Promise.all([certificateReady, authority.ready]), aborted.promise]);
      if (!signal.aborted) await server.run(signal);
    },
  };
}
