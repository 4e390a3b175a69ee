import { readFile } from 'node:fs/promises';
import { Backoff } from '../base/backoff.ts';
import type { Clock } from '../base/clock.ts';
import { InterlinkError, messageOf } from '../base/errors.ts';
import type { Logger } from '../base/logger.ts';
import type { Service } from '../base/service.ts';
import { CONFIG_MAPS } from '../kube/kinds.ts';
import type { KubeClient } from '../kube/kube-client.ts';

export interface ClientAuthorityDeps {
  readonly kube: KubeClient;
  readonly clock: Clock;
  readonly logger: Logger;
}

export interface ClientAuthorityOptions {
  /** PEM file; the cluster's own list when absent. */
  readonly file: string | undefined;
  /** Told what an administrator has to do, each time that it changes; empty when there is nothing. */
  readonly onNotice: (notice: string) => void;
}

/**
 * The authorities whose client certificates the kubelet port accepts, followed over changes. `ready` resolves when they are known; before that nothing may be
 * served, as a TLS server without a list of its own would believe every public authority.
 */
export interface ClientAuthority extends Service {
  /** PEM; the empty string before `ready`. */
  readonly pem: string;
  /** Resolves at the next change of `pem`. */
  readonly changed: Promise<void>;
}

/** Written by every API server; its `requestheader-*` entries are about aggregated APIs and are no concern of ours. */
const CLUSTER = { namespace: 'kube-system', name: 'extension-apiserver-authentication' };
const KEY = 'client-ca-file';
const REFRESH_MS = 60_000;

/** Reads nothing until `run`. */
export function createClientAuthority(deps: ClientAuthorityDeps, options: ClientAuthorityOptions): ClientAuthority {
  const { kube, clock, logger } = deps;
  const ready = Promise.withResolvers<void>();
  let next = Promise.withResolvers<void>();
  let pem = '';

  async function read(signal: AbortSignal): Promise<string> {
    if (options.file !== undefined) return readFile(options.file, 'utf8');
    const map = await kube.get(CONFIG_MAPS, CLUSTER, { signal });
    const text = map.data?.[KEY];
    if (text === undefined)
      throw new InterlinkError('NotFound', `ConfigMap ${CLUSTER.namespace}/${CLUSTER.name} has no ${KEY}`);
    return text;
  }

  async function refresh(signal: AbortSignal): Promise<boolean> {
    try {
      const text = (await read(signal)).trim();
      if (!text.includes('-----BEGIN CERTIFICATE-----'))
        throw new InterlinkError('Invalid', `${options.file ?? KEY} holds no certificate`);
      if (text !== pem) {
        pem = text;
        next.resolve();
        next = Promise.withResolvers<void>();
      }
      options.onNotice('');
      ready.resolve();
      return true;
    } catch (error) {
      signal.throwIfAborted();
      logger.debug('authorities of clients not read, will retry', { err: messageOf(error) });
      if (pem === '')
        options.onNotice(
          `kubectl logs does not work: the authorities of client certificates cannot be read (${messageOf(error)}); allow it (examples/node-rbac.yaml) or set node.kubelet.clientCaFile`,
        );
      return false;
    }
  }

  return {
    name: 'authorities of clients',
    ready: ready.promise,
    get pem() {
      return pem;
    },
    get changed() {
      return next.promise;
    },
    async run(signal) {
      const backoff = new Backoff({ initialMs: 1_000, maxMs: REFRESH_MS });
      try {
        while (!signal.aborted) {
          const good = await refresh(signal);
          if (good) backoff.reset();
          await clock.sleep(good ? REFRESH_MS : backoff.next(), { signal });
        }
      } catch (error) {
        if (!signal.aborted) throw error;
      }
    },
  };
}
