import { join } from 'node:path';
import { describe, it } from 'vitest';
import { systemClock } from '../../src/base/clock.ts';
import { InterlinkError } from '../../src/base/errors.ts';
import { silentLogger } from '../../src/base/logger.ts';
import { createRemoteSidecar } from '../../src/contract/remote-sidecar.ts';
import { serveSidecar } from '../../src/contract/serve-sidecar.ts';
import type { Sidecar } from '../../src/contract/sidecar.ts';
import { parseAddress } from '../../src/http/address.ts';
import { createHttpServer } from '../../src/http/http-server.ts';
import { proxyConfig } from '../../src/proxy/config.ts';
import { createProxyService } from '../../src/proxy/proxy-service.ts';
import { MemorySidecar } from '../fakes/memory-sidecar.ts';
import { running, temporaryDirectory } from '../fakes/running.ts';
import { contractCases } from './contract-cases.ts';
import { volumeCases } from './volume-cases.ts';

const deps = { logger: silentLogger, clock: systemClock };

type Reach = (memory: MemorySidecar, resources: AsyncDisposableStack) => Promise<Sidecar>;

const socketIn = (directory: string): string => join(directory, 's.sock');

async function serve(sidecar: Sidecar, hop: 'api' | 'plugin', resources: AsyncDisposableStack): Promise<string> {
  const { path } = resources.use(await temporaryDirectory());
  const options = {
    name: 'sidecar',
    address: { kind: 'unix', path: socketIn(path) } as const,
    handler: serveSidecar(sidecar, deps, { hop }),
    drainMs: 200,
  };
  resources.use(await running(createHttpServer(options, deps)));
  return `unix:${socketIn(path)}`;
}

/** Served on a unix socket and reached over it. */
function overHttp(codec: 'api' | 'plugin'): Reach {
  return async (memory, resources) => {
    const address = parseAddress(await serve(memory, codec, resources));
    return resources.use(createRemoteSidecar({ address, codec, clock: systemClock }));
  };
}

/** Served as a plugin, driven by a proxy, and reached as a node reaches that. */
function throughProxy(others: readonly MemorySidecar[]): Reach {
  return async (memory, resources) => {
    const { path } = resources.use(await temporaryDirectory());
    const sidecars = [{ name: 'main', url: await serve(memory, 'plugin', resources) }];
    for (const [index, other] of others.entries())
      sidecars.push({
        name: `other-${index}`,
        url: await serve(other, 'plugin', resources),
        ...{ match: { namespaces: ['elsewhere'] } },
      });
    const config = proxyConfig.parse({
      listen: `unix:${socketIn(path)}`,
      insecureNoAuthentication: true,
      sidecars,
      stateDirectory: join(path, 'state'),
      auditFile: join(path, 'audit.log'),
      drainSeconds: 1,
    });
    const proxy = resources.use(await running(createProxyService({ config, ...deps })));
    return resources.use(createRemoteSidecar({ address: proxy.address, codec: 'api', clock: systemClock }));
  };
}

/** A second sidecar that no pod of the cases goes to and whose offer never arrives. */
function silentSidecar(): MemorySidecar {
  const sidecar = new MemorySidecar();
  sidecar.fail('ping', new InterlinkError('Unavailable', 'away'), 1000);
  return sidecar;
}

const targets: Readonly<Record<string, Reach>> = {
  'in process': async (memory) => memory,
  'over HTTP as an API server': overHttp('api'),
  'over HTTP as a plugin': overHttp('plugin'),
  'through a proxy': throughProxy([]),
  'through a proxy of several sidecars': throughProxy([silentSidecar()]),
};

describe.each(Object.entries(targets))('the contract %s', (_name, reach) => {
  it.each([...contractCases, ...volumeCases])('$id $title', async ({ run }) => {
    await using resources = new AsyncDisposableStack();
    const memory = new MemorySidecar();
    const sidecar = await reach(memory, resources);
    await run({ sidecar, memory, call: { signal: new AbortController().signal } });
  });
});
