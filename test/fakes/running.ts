import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Service } from '../../src/base/service.ts';

/** Starts a service and waits until it is ready; disposing stops it and fails when it ended badly. */
export async function running<S extends Service>(service: S): Promise<S & AsyncDisposable> {
  const controller = new AbortController();
  const done = service.run(controller.signal);
  await Promise.race([service.ready, done]);
  return Object.assign(service, {
    async [Symbol.asyncDispose]() {
      controller.abort();
      await done;
    },
  });
}

/** A directory of its own for one test, removed afterwards. */
export async function temporaryDirectory(): Promise<{ readonly path: string } & AsyncDisposable> {
  const path = await mkdtemp(join(tmpdir(), 'interlink-test-'));
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) };
}
