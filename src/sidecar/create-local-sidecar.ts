import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Clock } from '../base/clock.ts';
import { localCommandRunner } from '../base/command.ts';
import type { Logger } from '../base/logger.ts';
import type { RuntimeSettings } from '../contract/job-directory.ts';
import type { Sidecar } from '../contract/sidecar.ts';
import type { BatchEngine } from './batch/engine.ts';
import { type SidecarConfig, sidecarConfig } from './config.ts';
import { openSidecar } from './open-sidecar.ts';

export interface LocalSidecarOptions {
  readonly runtime: RuntimeSettings;
  /** What pods may have; the defaults of the configuration unless given. */
  readonly site?: Pick<SidecarConfig, 'volumes' | 'policy' | 'scratch'>;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly environment: Readonly<Record<string, string>>;
  readonly version: string;
  /** Starts interlink again inside a job; this very program unless given. */
  readonly command?: readonly [string, ...string[]];
}

/** Time for killed pods to go when the sidecar is disposed of. */
const CLEAN_UP_MS = 15_000;

/**
 * A local sidecar in this process with a state directory of its own under the temporary directory. Unlike a service it leaves nothing behind: disposing of it
 * kills its pods and removes their directories.
 */
export async function createLocalSidecar(options: LocalSidecarOptions): Promise<Sidecar> {
  const { runtime, site = {}, clock, logger, environment, version, command } = options;
  const stateDirectory = await mkdtemp(join(tmpdir(), 'interlink-'));
  const removeState = (): Promise<void> => rm(stateDirectory, { recursive: true, force: true, maxRetries: 5 });
  try {
    const config = sidecarConfig.parse({
      ...site,
      stateDirectory,
      runtime,
      stopMarginSeconds: 2,
      pollIntervalSeconds: 0.5,
    });
    const opened = await openSidecar({
      kind: 'local',
      config,
      clock,
      logger,
      commands: localCommandRunner,
      environment,
      version,
      ...(command ? { command } : {}),
    });
    const { engine } = opened;
    return {
      capabilities: () => engine.capabilities(),
      create: (bundle, call) => engine.create(bundle, call),
      delete: (pod, call) => engine.delete(pod, call),
      status: (pods) => engine.status(pods),
      logs: (request, call) => engine.logs(request, call),
      updateVolumes: (update, call) => engine.updateVolumes(update, call),
      ping: (call) => engine.ping(call),
      watch: (call) => engine.watch(call),
      async [Symbol.asyncDispose]() {
        try {
          await killAll(engine, clock, logger);
        } finally {
          await opened[Symbol.asyncDispose]();
          await removeState();
        }
      },
    };
  } catch (error) {
    await removeState();
    throw error;
  }
}

/** Ends every pod at once and waits until nothing of them runs. */
async function killAll(engine: BatchEngine, clock: Clock, logger: Logger): Promise<void> {
  const done = new AbortController();
  const late = clock.sleep(CLEAN_UP_MS, { signal: done.signal }).then(
    () => done.abort(new Error('pods outlive their sidecar')),
    () => {},
  );
  const living = new Set<string>();
  try {
    for await (const event of engine.watch({ signal: done.signal })) {
      if (event.type === 'SNAPSHOT')
        for (const { uid, namespace, name, sandbox } of event.items) {
          if (sandbox === 'Gone') continue;
          living.add(uid);
          const metadata = { uid, namespace, name, deletionGracePeriodSeconds: 0 };
          await engine.delete({ metadata }, { signal: done.signal });
        }
      if (event.type === 'STATUS' && event.item.sandbox === 'Gone') living.delete(event.item.uid);
      if (living.size === 0) break;
    }
  } catch (error) {
    if (!done.signal.aborted) throw error;
    logger.error('pods could not be ended', { podUids: [...living] });
  } finally {
    done.abort();
    await late;
  }
}
