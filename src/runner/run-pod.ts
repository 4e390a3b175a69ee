import type { Clock } from '../base/clock.ts';
import { messageOf } from '../base/errors.ts';
import type { Logger } from '../base/logger.ts';
import type { JobDirectory, JobSpec } from '../contract/job-directory.ts';
import type { ContainerRuntime } from './container-runtime.ts';
import { evictOverLimit } from './evict-over-limit.ts';
import type { JobContents } from './job-contents.ts';
import { openSiteVolumes } from './open-site-volumes.ts';
import { makePodNetwork } from './pod-network.ts';
import type { PodFields, PodRecorder } from './pod-recorder.ts';
import { makePodVolumes } from './pod-volumes.ts';
import type { PullSecrets } from './pull-secrets.ts';
import type { StopControl } from './stop-control.ts';
import { type SupervisedPod, supervisePod } from './supervise-pod.ts';

export interface RunPodDeps {
  readonly spec: JobSpec;
  readonly directory: JobDirectory;
  readonly pullSecrets: PullSecrets;
  readonly contents: JobContents;
  readonly recorder: PodRecorder;
  readonly stop: StopControl;
  readonly graceSeconds: number;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly environment: Readonly<Record<string, string>>;
  /** Rejects when there is none for this pod here. */
  readonly runtime: Promise<ContainerRuntime>;
}

/** How the pod ended; `failure` when it failed as a whole, before any container could start. */
export interface EndedPod extends SupervisedPod {
  readonly failure?: PodFields;
}

/**
 * Makes volumes, network files and the runtime, records the sandbox as ready, runs the containers and removes the volumes again. What this worker can never do
 * (a volume that did not come with the pod, no runtime) ends the pod with an event that says why. Never rejects.
 */
export async function runPod(deps: RunPodDeps): Promise<EndedPod> {
  const { spec, directory, contents, recorder, stop, clock, logger, environment } = deps;
  const { pod } = spec.bundle;
  const fail = (reason: string, error: unknown): EndedPod => {
    const message = messageOf(error);
    logger.error('the pod cannot run here', { reason, err: error });
    recorder.change({}, {}, [{ type: 'Warning', reason, message }]);
    return { exitCode: 0, isOverdue: false, failure: { phase: 'Failed', reason, message } };
  };
  let siteVolumes: Awaited<ReturnType<typeof openSiteVolumes>>;
  try {
    siteVolumes = await openSiteVolumes(spec);
  } catch (error) {
    return fail('FailedMount', error);
  }
  const [volumes, sandbox] = await Promise.allSettled([
    makePodVolumes(directory, spec, { logger, contents, nowMs: () => clock.nowMs(), environment, siteVolumes }),
    (async () => {
      const runtime = await deps.runtime;
      const [network] = await Promise.all([makePodNetwork(directory, pod), runtime.probe(stop.signal)]);
      return { runtime, network };
    })(),
  ]);
  try {
    if (volumes.status === 'rejected') return fail('FailedMount', volumes.reason);
    if (sandbox.status === 'rejected')
      return stop.signal.aborted ? { exitCode: 0, isOverdue: false } : fail('FailedCreatePodSandBox', sandbox.reason);
    volumes.value.follow(sandbox.value.runtime);
    recorder.change({ sandbox: 'Ready' }, {}, []);
    using eviction = evictOverLimit(deps, volumes.value.byName, sandbox.value.runtime);
    const ended = await supervisePod({ ...deps, ...sandbox.value, pod, volumes: volumes.value.byName });
    const failure = await eviction.end();
    return failure === undefined ? ended : { ...ended, failure };
  } catch (error) {
    stop.request(0);
    return fail('RunnerError', error);
  } finally {
    const runtime = sandbox.status === 'fulfilled' ? sandbox.value.runtime : undefined;
    if (volumes.status === 'fulfilled') await volumes.value.remove(runtime);
    await closeRuntime(runtime, logger);
  }
}

async function closeRuntime(runtime: ContainerRuntime | undefined, logger: Logger): Promise<void> {
  try {
    await runtime?.close?.();
  } catch (error) {
    // It ends with this process, which is about to end.
    logger.warn('container runtime cannot be closed', { err: error });
  }
}
