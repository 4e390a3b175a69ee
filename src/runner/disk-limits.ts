import { join } from 'node:path';
import type { Clock } from '../base/clock.ts';
import type { Logger } from '../base/logger.ts';
import type { JobDirectory } from '../contract/job-directory.ts';
import { isSidecar } from '../kube/pod-phase.ts';
import { parseQuantity, wholeUnits } from '../kube/quantity.ts';
import type { Container, Pod } from '../kube/types.ts';
import type { PodVolume } from './pod-volumes.ts';

/** How much some directories may hold together. */
export interface DiskLimit {
  readonly paths: readonly string[];
  readonly bytes: number;
  /** What a kubelet says of a pod that goes beyond it. */
  readonly message: string;
}

/** Time between two looks, as in a kubelet's eviction manager. */
const LOOK_MS = 10_000;
/** Looking takes no more than this part of one CPU. */
const SHARE = 0.02;

/**
 * The limits of a pod's emptyDirs on disk, and of all that its containers keep on disk together (those emptyDirs and the logs), as far as the pod names any. The
 * layers of its containers are in memory, and memory volumes have their own size.
 *
 * @see https://github.com/kubernetes/kubernetes/blob/v1.36.3/pkg/kubelet/eviction/eviction_manager.go localStorageEviction
 */
export function diskLimits(
  pod: Pod,
  volumes: ReadonlyMap<string, PodVolume>,
  directory: JobDirectory,
): readonly DiskLimit[] {
  const limits: DiskLimit[] = [];
  const onDisk: string[] = [];
  for (const { name, emptyDir } of pod.spec?.volumes ?? []) {
    const path = volumes.get(name)?.path;
    if (!emptyDir || emptyDir.medium === 'Memory' || path === undefined) continue;
    onDisk.push(path);
    const bytes = bytesOf(emptyDir.sizeLimit);
    // The space at the end is a kubelet's.
    if (bytes > 0)
      limits.push({
        paths: [path],
        bytes,
        message: `Usage of EmptyDir volume ${JSON.stringify(name)} exceeds the limit ${JSON.stringify(emptyDir.sizeLimit)}. `,
      });
  }
  const bytes = totalLimit(pod);
  if (bytes > 0)
    limits.push({
      paths: [...onDisk, join(directory.root, 'containers')],
      bytes,
      message: `Pod ephemeral local storage usage exceeds the total limit of containers ${inLargestUnit(bytes)}. `,
    });
  return limits;
}

export interface DiskLimitsDeps {
  /** Bytes that each directory holds. */
  readonly usage: (paths: readonly string[]) => Promise<readonly number[]>;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly signal: AbortSignal;
}

/**
 * Looks at the directories every ten seconds, seldomer where that takes long, until one limit is passed.
 * @returns the limit that was passed; undefined once the signal is aborted
 */
export async function watchDiskLimits(
  limits: readonly DiskLimit[],
  { usage, clock, logger, signal }: DiskLimitsDeps,
): Promise<DiskLimit | undefined> {
  const paths = [...new Set(limits.flatMap((limit) => limit.paths))];
  let pauseMs = LOOK_MS;
  while (paths.length > 0 && (await slept(pauseMs, clock, signal))) {
    const begunMs = clock.monotonicMs();
    try {
      const sizes = await usage(paths);
      const of = (path: string): number => sizes[paths.indexOf(path)] ?? 0;
      const passed = limits.find((limit) => limit.paths.reduce((sum, path) => sum + of(path), 0) > limit.bytes);
      if (passed && !signal.aborted) return passed;
    } catch (error) {
      if (!signal.aborted)
        logger.warn('what volumes hold cannot be counted; their limits are not kept', { err: error });
    }
    pauseMs = Math.max(LOOK_MS, (clock.monotonicMs() - begunMs) / SHARE);
  }
  return undefined;
}

async function slept(ms: number, clock: Clock, signal: AbortSignal): Promise<boolean> {
  try {
    await clock.sleep(ms, { signal });
    return true;
  } catch (error) {
    if (signal.aborted) return false;
    throw error;
  }
}

/** What the containers may have together, as far as they have a limit, or the init container that may have most beside the sidecars. */
function totalLimit({ spec }: Pod): number {
  const of = ({ resources }: Container): number => bytesOf(resources?.limits?.['ephemeral-storage']);
  const sum = (containers: readonly Container[]): number => containers.reduce((bytes, one) => bytes + of(one), 0);
  const init = spec?.initContainers ?? [];
  const sidecars = init.filter(isSidecar);
  const alone = init.filter((container) => !isSidecar(container)).map(of);
  return Math.max(sum(spec?.containers ?? []), ...alone) + sum(sidecars);
}

/** As Go prints a quantity of bytes. */
function inLargestUnit(bytes: number): string {
  const units = ['', 'Ki', 'Mi', 'Gi', 'Ti', 'Pi'];
  let power = 0;
  while (power < units.length - 1 && bytes % 1024 ** (power + 1) === 0) power += 1;
  return `${bytes / 1024 ** power}${units[power]}`;
}

function bytesOf(text: string | undefined): number {
  return text === undefined ? 0 : wholeUnits(parseQuantity(text));
}
