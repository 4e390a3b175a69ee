import type { Clock } from '../base/clock.ts';
import type { Logger } from '../base/logger.ts';
import type { JobDirectory, JobSpec } from '../contract/job-directory.ts';
import type { ContainerRuntime } from './container-runtime.ts';
import { diskLimits, watchDiskLimits } from './disk-limits.ts';
import type { PodFields, PodRecorder } from './pod-recorder.ts';
import type { PodVolume } from './pod-volumes.ts';
import type { StopControl } from './stop-control.ts';

export interface EvictOverLimitDeps {
  readonly spec: JobSpec;
  readonly directory: JobDirectory;
  readonly recorder: PodRecorder;
  readonly stop: StopControl;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** The watch over what a pod keeps on disk. */
export interface Eviction extends Disposable {
  /** Ends it and tells why the pod was evicted, if it was. */
  end(): Promise<PodFields | undefined>;
}

/** A kubelet's, for a pod over its limits. */
const GRACE_SECONDS = 1;

/** From now on ends the pod as a kubelet does when its volumes or its containers hold more on disk than they may; a runtime that cannot count never does. */
export function evictOverLimit(
  { spec, directory, recorder, stop, clock, logger }: EvictOverLimitDeps,
  volumes: ReadonlyMap<string, PodVolume>,
  runtime: Pick<ContainerRuntime, 'diskUsage'>,
): Eviction {
  const over = new AbortController();
  const usage = runtime.diskUsage?.bind(runtime);
  const limits = diskLimits(spec.bundle.pod, volumes, directory);
  const watched = (async (): Promise<PodFields | undefined> => {
    const passed = usage && (await watchDiskLimits(limits, { usage, clock, logger, signal: over.signal }));
    if (passed === undefined) return undefined;
    const fields: PodFields = { phase: 'Failed', reason: 'Evicted', message: passed.message };
    recorder.change(fields, {}, [{ type: 'Warning', reason: 'Evicted', message: passed.message }]);
    stop.request(GRACE_SECONDS);
    return fields;
  })();
  return {
    end() {
      over.abort();
      return watched;
    },
    [Symbol.dispose]: () => over.abort(),
  };
}
