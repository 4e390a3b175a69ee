import { readFile } from 'node:fs/promises';
import type { Clock } from '../base/clock.ts';
import { InterlinkError, messageOf } from '../base/errors.ts';
import type { Logger } from '../base/logger.ts';
import { Secret } from '../base/secret.ts';
import type { Service } from '../base/service.ts';
import { createRemoteSidecar } from '../contract/remote-sidecar.ts';
import type { Sidecar } from '../contract/sidecar.ts';
import { type Address, parseAddress, renderAddress } from '../http/address.ts';
import { createHttpServer } from '../http/http-server.ts';
import { tlsFileSource } from '../http/tls-source.ts';
import { createTokenVerifier } from '../oauth/token-verifier.ts';
import { type AuditLog, openAuditFile, streamAudit } from './audit-log.ts';
import { challengingErrors } from './challenge.ts';
import type { ProxyConfig } from './config.ts';
import { guardUpstream } from './guard-upstream.ts';
import { createProxyHandler, RESOURCE_METADATA_PATH } from './proxy-handler.ts';
import { openRouteStore } from './route-store.ts';
import { createRoutingSidecar, type Upstream } from './routing-sidecar.ts';

export interface ProxyServiceDeps {
  readonly config: ProxyConfig;
  readonly logger: Logger;
  readonly clock: Clock;
  /** Where decisions go when no audit file is configured. */
  readonly stderr?: { write(text: string): unknown };
}

/** A running proxy. */
export interface ProxyService extends Service {
  /** Where it listens, with the true port; valid once `ready` has resolved. */
  readonly address: Address;
}

/**
 * The proxy as a service. It starts whether or not the issuers and the sidecars can be reached; it fails when the address, the certificate, the audit file
 * or the state directory cannot be used. After the abort running calls get `drainSeconds`; pods are left alone.
 */
export function createProxyService(deps: ProxyServiceDeps): ProxyService {
  const { config, clock } = deps;
  const logger = deps.logger.child({ component: 'proxy' });
  const ready = Promise.withResolvers<void>();
  // Whoever waits for it sees the failure; `run` throws it in any case.
  ready.promise.catch(() => {});
  let address = parseAddress(config.listen);

  const serve = async (signal: AbortSignal): Promise<void> => {
    await using resources = new AsyncDisposableStack();
    const audit = resources.use(await openAudit(deps));
    const sidecar = await openSidecar(deps, logger, resources);
    const verifier = createTokenVerifier(config.issuers, { clock, logger });
    const metadataUrl =
      config.publicUrl === undefined ? undefined : new URL(RESOURCE_METADATA_PATH, config.publicUrl).href;
    const renderError = challengingErrors(metadataUrl);
    const server = createHttpServer(
      {
        name: 'proxy',
        address,
        ...(config.certFile === undefined || config.keyFile === undefined
          ? {}
          : { tls: tlsFileSource({ certFile: config.certFile, keyFile: config.keyFile }, clock) }),
        handler: createProxyHandler(config, { sidecar, verifier, audit, renderError, logger, clock }),
        renderError,
        maxConnections: config.maxConnections,
        drainMs: config.drainSeconds * 1000,
      },
      { logger: deps.logger, clock },
    );
    if (config.insecureNoAuthentication)
      logger.warn('no authentication: everybody who can connect may run pods here', {
        address: renderAddress(address),
      });
    const running = server.run(signal);
    await Promise.race([server.ready, running]);
    address = server.address;
    ready.resolve();
    // The first caller should not wait for the issuers; if they are away, it is tried again then.
    void verifier.warmUp().catch((error: unknown) => logger.warn('keys cannot be fetched yet', { err: error }));
    await running;
  };

  return {
    name: 'proxy',
    ready: ready.promise,
    get address() {
      return address;
    },
    async run(signal) {
      try {
        await serve(signal);
      } catch (error) {
        ready.reject(error);
        throw error;
      }
    },
  };
}

async function openAudit({ config, logger, stderr = process.stderr }: ProxyServiceDeps): Promise<AuditLog> {
  return config.auditFile === undefined ? streamAudit(stderr) : openAuditFile(config.auditFile, logger);
}

async function openSidecar(
  { config, clock }: ProxyServiceDeps,
  logger: Logger,
  resources: AsyncDisposableStack,
): Promise<Sidecar> {
  const upstreams = config.sidecars.map((entry) => connect(entry, clock, logger));
  const [only, ...others] = upstreams;
  if (only && others.length === 0) return resources.use(only.sidecar);
  const routes = resources.use(await openRouteStore(config.stateDirectory, clock));
  return resources.use(createRoutingSidecar(upstreams, { routes, clock, logger }));
}

function connect(entry: ProxyConfig['sidecars'][number], clock: Clock, logger: Logger): Upstream {
  const { name, url, protocol, createFormat, caFile, certFile, keyFile, tokenFile, match } = entry;
  const address = parseAddress(url);
  const remote = createRemoteSidecar({
    address,
    tls: { caFile, certFile, keyFile },
    codec: protocol,
    createFormat,
    ...(tokenFile === undefined ? {} : { token: () => readToken(tokenFile) }),
    clock,
  });
  return { name, sidecar: guardUpstream({ name, where: renderAddress(address), sidecar: remote }, logger), match };
}

async function readToken(path: string): Promise<Secret> {
  try {
    return new Secret((await readFile(path, 'utf8')).trim());
  } catch (error) {
    throw new InterlinkError('Unavailable', `token file ${path}: ${messageOf(error)}`, {
      code: 'proxy.token',
      cause: error,
    });
  }
}
