import { join } from 'node:path';
import { describe, it } from 'vitest';
import { systemClock } from '../../src/base/clock.ts';
import { silentLogger } from '../../src/base/logger.ts';
import { createRemoteSidecar } from '../../src/contract/remote-sidecar.ts';
import { serveSidecar } from '../../src/contract/serve-sidecar.ts';
import type { Sidecar } from '../../src/contract/sidecar.ts';
import { createHttpServer } from '../../src/http/http-server.ts';
import { MemorySidecar } from '../fakes/memory-sidecar.ts';
import { running, temporaryDirectory } from '../fakes/running.ts';
import { contractCases } from './contract-cases.ts';

const deps = { logger: silentLogger, clock: systemClock };

type Reach = (memory: MemorySidecar, resources: AsyncDisposableStack) => Promise<Sidecar>;

/** `memory` served on a unix socket and reached over it. */
function overHttp(codec: 'api' | 'plugin'): Reach {
  return async (memory, resources) => {
    const directory = resources.use(await temporaryDirectory());
    const server = resources.use(
      await running(
        createHttpServer(
          {
            name: 'sidecar',
            address: { kind: 'unix', path: join(directory.path, 's.sock') },
            handler: serveSidecar(memory, deps, { hop: codec }),
            drainMs: 200,
          },
          deps,
        ),
      ),
    );
    return resources.use(createRemoteSidecar({ address: server.address, codec, clock: systemClock }));
  };
}

const targets: Readonly<Record<string, Reach>> = {
  'in process': async (memory) => memory,
  'over HTTP as an API server': overHttp('api'),
  'over HTTP as a plugin': overHttp('plugin'),
};

describe.each(Object.entries(targets))('the contract %s', (_name, reach) => {
  it.each(contractCases)('$id $title', async ({ run }) => {
    await using resources = new AsyncDisposableStack();
    const memory = new MemorySidecar();
    const sidecar = await reach(memory, resources);
    await run({ sidecar, memory, call: { signal: new AbortController().signal } });
  });
});
